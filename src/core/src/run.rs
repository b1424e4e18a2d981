//! `status.json`: what the shim knows of one run of a box, written by it alone.

use crate::{BoxHealth, HostProcess};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a boot has come. The order is the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootPhase {
    /// The shim runs and has read its spec.
    Shim,
    /// The VMM process was started.
    Vmm,
    /// A guest that had booted before goes on in the VMM.
    Restored,
    /// The guest kernel wrote its first line to the console.
    Kernel,
    /// The guest init opened the agent port.
    Init,
    /// The guest init answered the handshake.
    Agent,
    /// The container process runs.
    Process,
    /// The container process wrote its first byte.
    Output,
    /// The container process ended.
    Exit,
    /// The VMM process ended.
    Ended,
}

/// When each phase was reached, in microseconds since the UNIX epoch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTrace(pub Vec<(BootPhase, u64)>);

impl BootTrace {
    /// Notes that `phase` was reached at `at` microseconds; only the first time counts.
    pub fn reach(&mut self, phase: BootPhase, at: u64) {
        if !self.0.iter().any(|(p, _)| *p == phase) {
            self.0.push((phase, at));
        }
    }

    /// The last phase reached.
    pub fn last(&self) -> Option<BootPhase> {
        self.0.iter().map(|(phase, _)| *phase).max()
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// The container process ended by itself.
    Exited,
    /// It was asked to: `stop`.
    Stopped,
    /// A signal that a user sent ended it: `kill`.
    Killed,
    /// The guest ran out of memory and killed the container process.
    Oom,
    /// It had run for as long as it might: `--timeout`.
    Timeout,
    /// Nobody had used it for as long as that might be: `--idle-timeout`.
    IdleTimeout,
    /// The guest did not come up in time.
    BootTimeout,
    /// The guest init could not start the box.
    BootFailed,
    /// The container process could not be started (exit code 126 or 127).
    StartFailed,
    /// The VMM ended under a running box.
    VmmCrashed,
    /// The shim was killed, and the VMM with it.
    ShimKilled,
    /// The shim was told to end, as a host does that shuts down.
    HostStopped,
    /// The host went down under a running box, and came up again.
    HostRestarted,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exited => "exited",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Oom => "oom",
            Self::Timeout => "timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::BootTimeout => "boot-timeout",
            Self::BootFailed => "boot-failed",
            Self::StartFailed => "start-failed",
            Self::VmmCrashed => "vmm-crashed",
            Self::ShimKilled => "shim-killed",
            Self::HostStopped => "host-stopped",
            Self::HostRestarted => "host-restarted",
        })
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunExit {
    /// The exit code as a shell would report it: 128+n for a death by signal n.
    pub code: i32,
    /// Why.
    pub reason: ExitReason,
    /// What failed, where something did, with the stage and the console's last lines.
    pub message: Option<String>,
    /// When, in microseconds since the UNIX epoch.
    pub at: u64,
}

/// `status.json`. Written whole and renamed, so that a reader sees one state or the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStatus {
    /// The boot of the host that the run belongs to.
    #[serde(default)]
    pub boot: String,
    /// The shim.
    pub shim: HostProcess,
    /// The VMM, once it was started.
    pub vmm: Option<HostProcess>,
    /// When the container process began, in microseconds since the UNIX epoch.
    pub started_at: Option<u64>,
    /// Whether the container process is well, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<BoxHealth>,
    /// Whether the MicroVM stands still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// How often the restart policy has started the box again since a user did.
    #[serde(default)]
    pub restarts: u32,
    /// When it will do so next, in microseconds since the UNIX epoch, where it will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<u64>,
    /// The end, once it came.
    pub exit: Option<RunExit>,
    /// Where the time went.
    pub trace: BootTrace,
}
