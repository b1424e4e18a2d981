//! `signal`: sends a signal to jobs.

use a3s_box_core::{BoxError, ErrorKind, JobName, Result, Signal};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct SignalJob {
    /// Signal, by name or number
    #[arg(short, long, default_value = "TERM")]
    signal: Signal,
    /// Jobs, as BOX%NUMBER
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
}

impl SignalJob {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        super::for_each(&self.jobs, async |name| {
            let job = JobName::parse(&name)?.ok_or_else(|| {
                BoxError::new(ErrorKind::InvalidInput, format!("{name} is no job"))
                    .with_hint(format!("see `a3s-box jobs {name}`; `a3s-box kill` is for boxes"))
            })?;
            engine.signal(&job, self.signal).await
        })
        .await
    }
}
