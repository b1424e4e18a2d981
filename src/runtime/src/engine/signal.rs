//! `signal`: sends a signal to a job.

use super::jobs::of;
use super::{Engine, rpc};
use a3s_box_agent::proto::shim::JobSignal;
use a3s_box_core::{BoxError, ErrorKind, JobName, Result, Signal};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

impl Engine {
    /// Sends `signal` to a job's process.
    ///
    /// # Errors
    /// `NotFound` for no such box or job, `WrongState` for one that has ended, `Timeout` where nobody answers.
    pub async fn signal(&self, job: &JobName, signal: Signal) -> Result<()> {
        let (record, _) = self.running_job(job)?;
        let (_, mut shim) = self.shim(record.id.as_str()).await?;
        let what = || format!("cannot send {signal} to {}", of(job));
        let request = JobSignal { job: job.number, signal: signal.number() };
        match tokio::time::timeout(PATIENCE, shim.signal_job(request)).await {
            Ok(answer) => answer.map(drop).map_err(|status| rpc(what(), &status)),
            Err(_) => {
                Err(BoxError::new(ErrorKind::Timeout, format!("{}: its guest does not answer", what())))
            }
        }
    }
}
