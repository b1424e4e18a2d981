//! `kill`: sends a signal to a box.

use super::{Engine, RunEvent, rpc};
use a3s_box_agent::proto::agent::SignalRequest;
use a3s_box_core::{BoxError, ErrorKind, Result, Signal};
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);

impl Engine {
    /// Sends `signal` to the container process of the live box that `name` means. SIGKILL ends the box, and
    /// this waits until it has.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, `Timeout` where nobody answers.
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        let (record, mut shim) = self.shim(name).await?;
        let mut attached = self.join(record.id.as_str()).await?;
        let request = SignalRequest { pid: 0, signal: signal.number() };
        let answer = timeout(PATIENCE, shim.signal(request)).await;
        if signal == Signal::KILL {
            let end = async { while !matches!(attached.next().await, Ok(RunEvent::Ended(_)) | Err(_)) {} };
            if timeout(PATIENCE, end).await.is_ok() {
                return Ok(());
            }
            return self.stop(record.id.as_str(), Duration::ZERO).await;
        }
        let what = format!("cannot send {signal} to box {}", record.name);
        match answer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(rpc(what, &status)),
            Err(_) => Err(BoxError::new(ErrorKind::Timeout, format!("{what}: its shim does not answer"))
                .with_hint(format!("end it with `a3s-box rm -f {}`", record.name))),
        }
    }
}
