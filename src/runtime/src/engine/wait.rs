//! `wait`: until a box has ended.

use super::jobs::of;
use super::{Engine, RunEvent};
use crate::state::{State, look};
use a3s_box_core::{BoxError, ErrorKind, JobName, Result};

impl Engine {
    /// Waits until the box that `name` means has ended, however long that takes; its exit code. For one that does
    /// not run that is the code of its last run, and 0 where there was none, as with Docker.
    ///
    /// # Errors
    /// `NotFound` for no such box, or one that was removed before it could be asked.
    pub async fn wait(&self, name: &str) -> Result<i32> {
        let id = {
            let state = State::read(&self.home)?;
            state.find(name)?.id.clone()
        };
        match self.join(id.as_str()).await {
            Ok(mut attached) => loop {
                match attached.next().await {
                    Ok(RunEvent::Ended(end)) => return Ok(end.code),
                    Ok(_) => {}
                    // The shim was killed; what that came to is seen below.
                    Err(_) => break,
                }
            },
            // It has ended meanwhile, or did not run at all.
            Err(error) if matches!(error.kind(), ErrorKind::WrongState | ErrorKind::Unavailable) => {}
            Err(error) => return Err(error),
        }
        let state = State::read(&self.home)?;
        let status = look(&self.home, state.find(id.as_str())?)?.status;
        match status {
            Some(status) => status.exit.map(|exit| exit.code).ok_or_else(|| {
                BoxError::new(
                    ErrorKind::Unavailable,
                    format!("box {name} runs, and its shim cannot be reached"),
                )
                .with_hint("see shim.log in the box's folder")
            }),
            None => Ok(0),
        }
    }

    /// Waits until a job has ended; its exit code.
    ///
    /// # Errors
    /// `NotFound` for no such box or job.
    pub async fn wait_job(&self, job: &JobName) -> Result<i32> {
        match self.attach_job(job).await {
            Ok(mut attached) => {
                while let Ok(event) = attached.next().await {
                    if let RunEvent::Ended(end) = event {
                        return Ok(end.code);
                    }
                }
            }
            // It has ended meanwhile, or long ago.
            Err(error) if matches!(error.kind(), ErrorKind::WrongState | ErrorKind::Unavailable) => {}
            Err(error) => return Err(error),
        }
        let (_, found) = self.job(job)?;
        found.exit.map(|exit| exit.code).ok_or_else(|| {
            BoxError::new(ErrorKind::Unavailable, format!("{} runs, and its shim cannot be reached", of(job)))
                .with_hint("see shim.log in the box's folder")
        })
    }
}
