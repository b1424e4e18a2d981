//! `pause`: makes a box stand still.

use super::{Engine, rpc};
use a3s_box_agent::proto::shim::PauseRequest;
use a3s_box_core::{BoxError, ErrorKind, Result};
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);

impl Engine {
    /// Makes the running box that `name` means stand still, as it is, until it goes on or is ended.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run or stands still already.
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.stand_still(name, true).await
    }

    pub(super) async fn stand_still(&self, name: &str, paused: bool) -> Result<()> {
        let (record, mut shim) = self.shim(name).await?;
        let what = format!("cannot {} box {}", if paused { "pause" } else { "unpause" }, record.name);
        match timeout(PATIENCE, shim.pause(PauseRequest { paused })).await {
            Ok(answer) => answer.map(drop).map_err(|status| rpc(what, &status)),
            Err(_) => Err(BoxError::new(ErrorKind::Timeout, format!("{what}: its shim does not answer"))
                .with_hint(format!("end it with `a3s-box rm -f {}`", record.name))),
        }
    }
}
