//! The runtime's one door: [`Engine`], with one file for each verb.

mod attach;
mod commit;
mod cp;
mod create;
mod df;
mod diff;
mod doctor;
mod exec;
mod export;
mod files;
mod history;
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
mod port;
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
mod wait;

pub use attach::{Attachment, RunEnd, RunEvent};
pub use cp::{CopyEnd, CopyOptions};
pub use df::Usage;
pub use diff::Change;
pub use exec::{ExecConfig, ExecEvent, ExecSession, ExitStatus};
pub use history::LayerStep;
pub use image::{ImageView, LayersView};
pub use images::ImageFilter;
pub use info::{Info, MachineInfo};
pub use input::ProcessInput;
pub use inspect::BoxView;
pub use jobs::{JobStart, JobView};
pub use logs::LogRange;
pub use pull::PullOptions;
pub(crate) use start::mkfs_path;
pub use stats::BoxStats;
pub use top::ProcessInfo;

use crate::Home;
use crate::state::{BoxRecord, Look, State, look};
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_image::{ImageStore, RootfsCache};
use std::time::{SystemTime, UNIX_EPOCH};

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

    fn store(&self) -> Result<ImageStore> {
        Ok(ImageStore::open(self.home.path().join("images"))?)
    }

    fn rootfs(&self) -> Result<RootfsCache> {
        Ok(RootfsCache::open(self.home.path().join("rootfs"))?)
    }
}

/// Microseconds since the UNIX epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
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
