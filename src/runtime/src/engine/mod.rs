//! The runtime's one door: [`Engine`], with one file for each verb.

mod attach;
mod boot;
mod commit;
mod cp;
mod create;
mod df;
mod diff;
mod doctor;
mod events;
mod exec;
mod export;
mod files;
mod history;
mod hook;
mod image;
mod images;
mod import;
mod info;
mod input;
mod inspect;
mod jobs;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod net;
mod network;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod rename;
mod rm;
mod rmi;
mod save;
mod signal;
mod start;
mod stats;
mod stop;
mod tag;
mod top;
mod unpause;
mod update;
mod volume;
mod wait;

pub use attach::{Attachment, RunEnd, RunEvent};
pub use cp::{CopyEnd, CopyOptions};
pub use df::Usage;
pub use diff::Change;
pub use doctor::Diagnosis;
pub use exec::{ExecConfig, ExecEvent, ExecSession, ExitStatus};
pub use history::LayerStep;
pub(crate) use image::in_use;
pub use image::{ImageView, LayersView};
pub use images::ImageFilter;
pub use info::{Info, MachineInfo};
pub use input::ProcessInput;
pub use inspect::BoxView;
pub use jobs::{JobStart, JobView};
pub use logs::LogRange;
pub use prune::PrunedBoxes;
pub use ps::BoxSize;
pub use pull::PullOptions;
pub(crate) use start::{copy_sparse, mkfs_path};
pub use stats::BoxStats;
pub use top::ProcessInfo;
pub use update::BoxUpdate;

use crate::Home;
use crate::host::now;
use crate::state::{BoxRecord, Look, State, look};
use a3s_box_core::{BoxError, BoxState, ErrorKind, Result};
use a3s_box_image::{ImageStore, RootfsCache};

/// Everything that can be done with boxes and images under one state directory.
///
/// Cheap to make and to clone; it holds no state of its own, so any number of processes may work at once.
#[derive(Debug, Clone)]
pub struct Engine {
    home: Home,
}

impl Engine {
    /// An engine for the state directory `home`.
    pub fn new(home: Home) -> Self {
        Self { home }
    }

    /// The state directory.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The box that `name` means, and what it does now.
    fn see(&self, name: &str) -> Result<(BoxRecord, Look)> {
        let state = State::read(&self.home)?;
        let record = state.find(name)?.clone();
        let seen = look(&self.home, &record)?;
        Ok((record, seen))
    }

    /// The box that `name` means, which has to be live.
    fn live(&self, name: &str) -> Result<BoxRecord> {
        let (record, seen) = self.see(name)?;
        if seen.state.is_live() {
            return Ok(record);
        }
        let hint = format!("start it with `a3s-box start {}`", record.name);
        Err(wrong_state(&record.name, seen.state, &hint))
    }

    /// The box that `name` means, in which something is to be done now.
    fn running(&self, name: &str) -> Result<BoxRecord> {
        let (record, seen) = self.see(name)?;
        let hint = match seen.state {
            BoxState::Paused => format!("let it go on with `a3s-box unpause {}`", record.name),
            BoxState::Restarting => format!("see why it keeps ending with `a3s-box logs {}`", record.name),
            state if state.is_live() => return Ok(record),
            _ => format!("start it with `a3s-box start {}`", record.name),
        };
        Err(wrong_state(&record.name, seen.state, &hint))
    }

    fn store(&self) -> Result<ImageStore> {
        Ok(ImageStore::open(self.home.images())?)
    }

    fn rootfs(&self) -> Result<RootfsCache> {
        Ok(RootfsCache::open(self.home.rootfs())?)
    }
}

/// A gRPC failure as a user sees it: `what` names the call and the box.
fn rpc(what: String, status: &tonic::Status) -> BoxError {
    let kind = match status.code() {
        tonic::Code::NotFound => ErrorKind::NotFound,
        tonic::Code::InvalidArgument => ErrorKind::InvalidInput,
        tonic::Code::FailedPrecondition => ErrorKind::WrongState,
        tonic::Code::DeadlineExceeded => ErrorKind::Timeout,
        tonic::Code::ResourceExhausted => ErrorKind::OutOfSpace,
        _ => ErrorKind::Unavailable,
    };
    let message = status.message();
    if message.is_empty() {
        BoxError::new(kind, what)
    } else {
        BoxError::new(kind, what).caused_by(message.to_owned())
    }
}

/// A box that is not in the state that a verb needs.
fn wrong_state(name: &a3s_box_core::BoxName, state: a3s_box_core::BoxState, hint: &str) -> BoxError {
    BoxError::new(ErrorKind::WrongState, format!("box {name} is {state}")).with_hint(hint)
}
