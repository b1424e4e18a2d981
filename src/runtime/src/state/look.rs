//! What a box does right now.

use super::BoxRecord;
use crate::home::BoxFolder;
use crate::{Home, host};
use a3s_box_core::{BoxError, BoxState, ExitReason, Result, RunExit, RunStatus};
use a3s_box_files::Lock;
use std::io;

/// `status.json` of a hostile or damaged folder is not read past this.
const MAX_STATUS: u64 = 1 << 20;

/// A box seen at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The state.
    pub(crate) state: BoxState,
    /// What the shim wrote of the present or last run; with an end, where the shim died before it wrote one.
    pub(crate) status: Option<RunStatus>,
}

impl Look {
    /// Whether a box that is to be removed after its run has had it, or can have none any more.
    pub(crate) fn is_spent(&self, record: &BoxRecord) -> bool {
        record.config.auto_remove
            && match self.state {
                BoxState::Stopped | BoxState::Failed => true,
                BoxState::Created => !record.creator.is_some_and(host::is_alive),
                BoxState::Starting | BoxState::Running => false,
            }
    }
}

/// Looks at a box. The caller holds the state's lock, so that no other starts it meanwhile.
pub(crate) fn look(home: &Home, record: &BoxRecord) -> Result<Look> {
    let folder = home.folder(&record.id);
    // The lock comes first: a shim that ends between the two looks has written its end before.
    let live = Lock::is_held(&folder.run_lock())
        .map_err(|e| BoxError::io(format!("cannot look at box {}", record.name), e))?;
    let mut status = read_status(&folder)?;
    let state = match &mut status {
        Some(RunStatus { exit: Some(exit), .. }) => ended(exit),
        Some(status) if live => match status.started_at {
            Some(_) => BoxState::Running,
            None => BoxState::Starting,
        },
        None if live => BoxState::Starting,
        Some(status) => ended(status.exit.insert(killed_shim())),
        None if folder.spec().exists() => BoxState::Failed,
        None => BoxState::Created,
    };
    Ok(Look { state, status })
}

fn ended(exit: &RunExit) -> BoxState {
    match exit.reason {
        ExitReason::Exited | ExitReason::Stopped | ExitReason::Killed | ExitReason::VmmCrashed => {
            BoxState::Stopped
        }
        ExitReason::BootTimeout | ExitReason::BootFailed | ExitReason::StartFailed => BoxState::Failed,
    }
}

/// The end of a run whose shim was killed before it could write one.
fn killed_shim() -> RunExit {
    let message = Some("the shim was killed, and the MicroVM with it".to_owned());
    RunExit { code: 137, reason: ExitReason::Killed, message, at: 0 }
}

fn read_status(folder: &BoxFolder) -> Result<Option<RunStatus>> {
    use std::io::Read;
    let path = folder.status();
    let mut json = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_STATUS).read_to_end(&mut json));
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| BoxError::io(format!("cannot read {}", path.display()), e))?,
    };
    // Only its shim writes it, and whole; a damaged one says as little as a missing one.
    Ok(serde_json::from_slice(&json).ok())
}
