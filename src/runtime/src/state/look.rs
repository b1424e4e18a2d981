//! What a box does right now.

use super::{BoxRecord, State};
use crate::events::note_cut_short;
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
    /// Whether that end was put there by whoever looked.
    pub(crate) cut_short: bool,
}

impl Look {
    /// The status of a run whose processes may be left on this host. Numbers of another boot are other processes'.
    pub(crate) fn of_this_boot(&self) -> Option<&RunStatus> {
        self.status.as_ref().filter(|status| is_of_this_boot(status))
    }

    /// Tells of an end that no shim has told of. Only who is about to remove the traces of the run does so: it is told
    /// once.
    pub(crate) fn note_cut_short(&self, state: &State, home: &Home, record: &BoxRecord) {
        if self.cut_short
            && let Some(exit) = self.status.as_ref().and_then(|status| status.exit.as_ref())
        {
            note_cut_short(state, home, record, exit);
        }
    }

    /// Whether a box that is to be removed after its run has had it, or can have none any more.
    pub(crate) fn is_spent(&self, record: &BoxRecord) -> bool {
        record.config.auto_remove
            && match self.state {
                BoxState::Stopped | BoxState::Failed => true,
                BoxState::Created => !record.creator.is_some_and(host::is_alive),
                BoxState::Starting | BoxState::Running | BoxState::Paused | BoxState::Restarting => false,
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
    let mut cut = false;
    let state = match &mut status {
        Some(RunStatus { exit: Some(_), restart_at: Some(_), .. }) if live => BoxState::Restarting,
        Some(RunStatus { exit: Some(exit), .. }) => ended(exit),
        Some(status) if live => match status.started_at {
            Some(_) if status.paused => BoxState::Paused,
            Some(_) => BoxState::Running,
            None => BoxState::Starting,
        },
        None if live => BoxState::Starting,
        Some(status) => {
            let exit = cut_short(status);
            cut = true;
            ended(status.exit.insert(exit))
        }
        None if folder.spec().exists() || !folder.path().exists() => BoxState::Failed,
        None => BoxState::Created,
    };
    Ok(Look { state, status, cut_short: cut })
}

fn ended(exit: &RunExit) -> BoxState {
    match exit.reason {
        ExitReason::BootTimeout | ExitReason::BootFailed | ExitReason::StartFailed => BoxState::Failed,
        _ => BoxState::Stopped,
    }
}

fn is_of_this_boot(status: &RunStatus) -> bool {
    status.boot.is_empty() || a3s_box_files::boot_id().is_ok_and(|boot| boot == status.boot)
}

/// The end of a run whose shim ended before it could write one.
fn cut_short(status: &RunStatus) -> RunExit {
    let (reason, message) = if is_of_this_boot(status) {
        (ExitReason::ShimKilled, "the shim was killed, and the MicroVM with it")
    } else {
        (ExitReason::HostRestarted, "the host went down while the box ran")
    };
    RunExit { code: 137, reason, message: Some(message.to_owned()), at: 0 }
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
