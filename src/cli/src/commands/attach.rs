//! `attach`: joins a running box's command, or a job, until its end.

use super::run::{report, stay, stay_with};
use crate::detach::{self, DetachKeys};
use crate::failure::exit_code;
use a3s_box_core::{BoxConfig, JobName, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Attach {
    /// Box, by name or id, or a job (BOX%NUMBER)
    #[arg(value_name = "BOX|JOB")]
    name: String,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    /// Keys that leave the command alone
    #[arg(long, default_value = detach::DEFAULT, value_name = "KEYS")]
    detach_keys: DetachKeys,
}

impl Attach {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        if let Some(job) = JobName::parse(&self.name)? {
            return self.job(engine, &job).await;
        }
        let record = engine.inspect(&self.name)?.record;
        let attachment = engine.attach(record.id.as_str()).await?;
        let interactive = record.config.interactive && !self.no_stdin;
        let config = BoxConfig { interactive, ..record.config.clone() };
        let end = stay(attachment, &config, self.detach_keys).await?;
        end.map_or(Ok(0), |end| report(&record, &end))
    }

    async fn job(self, engine: &Engine, job: &JobName) -> Result<u8> {
        let attachment = engine.attach_job(job).await?;
        let jobs = engine.jobs(&job.of)?;
        let (stdin, tty) = jobs
            .iter()
            .find(|view| view.record.number == job.number)
            .map_or((false, false), |view| (view.record.stdin, view.record.tty));
        let end = stay_with(attachment, stdin && !self.no_stdin, tty, self.detach_keys).await?;
        Ok(end.map_or(0, |end| exit_code(end.code)))
    }
}
