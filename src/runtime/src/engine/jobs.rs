//! `jobs`: processes that were left running in a box, which its shim stays with.

use super::{Engine, ExecConfig, RunEvent, exec, now, rpc};
use crate::state::BoxRecord;
use a3s_box_agent::proto::agent::FailureKind;
use a3s_box_agent::proto::shim::job_reply;
use a3s_box_core::{BoxError, BoxName, ErrorKind, JobName, JobRecord, Result};
use serde::Serialize;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// How long a box may take to come up, and its guest to begin a process.
const PATIENCE: Duration = Duration::from_secs(120);
/// A job's file longer than this is none.
const MAX_RECORD: u64 = 8 << 20;

/// A job, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// Its name, by its box's id.
    pub job: String,
    /// Its box.
    #[serde(rename = "box")]
    pub of: BoxName,
    /// What the shim has written of it; with an end, where the shim died before it wrote one.
    #[serde(flatten)]
    pub record: JobRecord,
}

/// What starting a job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStart {
    /// It runs, under this name.
    Running(String),
    /// Its program cannot be started: the exit code (126 or 127), and why.
    Failed(i32, String),
}

impl Engine {
    /// Starts a process in the live box that `name` means, and leaves it running.
    ///
    /// # Errors
    /// As [`Engine::exec`].
    pub async fn start_job(&self, name: &str, config: ExecConfig) -> Result<JobStart> {
        let (record, mut shim) = self.shim(name).await?;
        let request = exec::request(&record, config)?;
        let what = || format!("cannot run a process in box {}", record.name);
        let late = || BoxError::new(ErrorKind::Timeout, format!("{}: it does not answer", what()));
        let mut attached = self.attach(record.id.as_str()).await?;
        let up = async {
            loop {
                match attached.next().await? {
                    RunEvent::Running => return Ok(()),
                    RunEvent::Exited(_) | RunEvent::Ended(_) => {
                        return Err(BoxError::new(
                            ErrorKind::WrongState,
                            format!("box {} has ended", record.name),
                        ));
                    }
                    RunEvent::Stdout(_) | RunEvent::Stderr(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, up).await.map_err(|_| late())??;
        drop(attached);
        let answer =
            tokio::time::timeout(PATIENCE, shim.start_job(a3s_box_agent::proto::agent::Start::from(request)));
        let reply = answer.await.map_err(|_| late())?.map_err(|status| rpc(what(), &status))?.into_inner();
        match reply.result {
            Some(job_reply::Result::Job(number)) => {
                Ok(JobStart::Running(JobName::text(record.id.short(), number)))
            }
            Some(job_reply::Result::Failed(failed)) => {
                let code = if failed.kind() == FailureKind::NotFound { 127 } else { 126 };
                Ok(JobStart::Failed(code, failed.message))
            }
            None => Err(BoxError::new(ErrorKind::Internal, what()).caused_by("its shim gave no answer")),
        }
    }

    /// The jobs of the box that `name` means, the oldest first.
    ///
    /// # Errors
    /// `NotFound` for no such box, and those of reading its folder.
    pub fn jobs(&self, name: &str) -> Result<Vec<JobView>> {
        let (record, seen) = self.see(name)?;
        let folder = self.home.folder(&record.id);
        let failed = |e| BoxError::io(format!("cannot read the jobs of box {}", record.name), e);
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(folder.path()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(JobRecord::number_of));
        }
        numbers.sort_unstable();
        let jobs = numbers.into_iter().filter_map(|number| read(folder.path(), number).transpose());
        let mut jobs = jobs.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        if !seen.state.is_live() {
            let at = seen.status.and_then(|status| status.exit).map_or_else(now, |exit| exit.at);
            jobs.iter_mut().for_each(|job| job.lost(at));
        }
        let view = |job: JobRecord| JobView {
            job: JobName::text(record.id.short(), job.number),
            of: record.name.clone(),
            record: job,
        };
        Ok(jobs.into_iter().map(view).collect())
    }

    /// A job, and its box.
    pub(super) fn job(&self, job: &JobName) -> Result<(BoxRecord, JobRecord)> {
        let (record, seen) = self.see(&job.of)?;
        let found = read(self.home.folder(&record.id).path(), job.number)
            .map_err(|e| BoxError::io(format!("cannot read {}", of(job)), e))?;
        let Some(mut found) = found else {
            return Err(BoxError::new(ErrorKind::NotFound, format!("no such {}", of(job)))
                .with_hint(format!("see `a3s-box jobs {}`", record.name)));
        };
        if !seen.state.is_live() {
            found.lost(now());
        }
        Ok((record, found))
    }

    /// A job that has not ended.
    pub(super) fn running_job(&self, job: &JobName) -> Result<(BoxRecord, JobRecord)> {
        let (record, found) = self.job(job)?;
        match &found.exit {
            None => Ok((record, found)),
            Some(exit) => {
                let what = format!("{} has ended with code {}", of(job), exit.code);
                let logs = JobName::text(record.name.as_str(), job.number);
                Err(BoxError::new(ErrorKind::WrongState, what)
                    .with_hint(format!("see what it wrote with `a3s-box logs {logs}`")))
            }
        }
    }
}

/// A job in the words of errors.
pub(super) fn of(job: &JobName) -> String {
    format!("job {}", JobName::text(&job.of, job.number))
}

/// What the shim wrote of a job; none where there is no such job.
pub(super) fn read(folder: &Path, number: u32) -> io::Result<Option<JobRecord>> {
    let mut json = Vec::new();
    match std::fs::File::open(folder.join(JobRecord::file(number))) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?.take(MAX_RECORD).read_to_end(&mut json)?,
    };
    // Only its shim writes it, and whole; a damaged one says as little as a missing one.
    Ok(serde_json::from_slice(&json).ok())
}
