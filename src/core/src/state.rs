//! The states of a box.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The state of a box as `ps` shows it. It is derived, never stored: from the record, the shim's
/// `status.json`, and whether the shim is alive.
///
/// ```text
///                               ┌─▶ paused ─┐
/// created ──start──▶ starting ──▶ running ◀──┘──▶ stopped
///                     ▲  └──────────│───────────▶ failed
///                     └─ restarting ◀┘ (by its restart policy)
/// ```
/// `stopped` and `failed` boxes can be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxState {
    /// Never started.
    Created,
    /// Its shim runs, its container process does not yet.
    Starting,
    /// Its container process runs.
    Running,
    /// Its MicroVM stands still.
    Paused,
    /// Its container process ended, and its restart policy is about to start it again.
    Restarting,
    /// Its container process ended.
    Stopped,
    /// It never came up.
    Failed,
}

impl BoxState {
    /// Whether processes of the box run on the host.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Restarting)
    }
}

impl fmt::Display for BoxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        })
    }
}
