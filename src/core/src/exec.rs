//! A process to run inside a box: the container process and every `exec` are described alike.

use serde::{Deserialize, Serialize};

/// The size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtySize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub cols: u16,
}

impl Default for TtySize {
    fn default() -> Self {
        Self { rows: 24, cols: 80 }
    }
}

/// What to run in a box, with everything decided that the host can decide.
///
/// What only the guest can know (the user's numbers, home and groups, the program's place in `PATH`) it
/// works out from the box's own files, as OCI runtimes do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments; never empty. A program without `/` is looked up in `PATH`.
    pub args: Vec<String>,
    /// `NAME=value` pairs, complete and in order. `PATH`, `HOME`, `HOSTNAME` and `TERM` get defaults when absent.
    pub env: Vec<String>,
    /// The working directory, absolute; created when it is missing, as Docker does. Empty: `/`.
    pub cwd: String,
    /// `user`, `uid`, `user:group`, `uid:gid`, or empty for root; names are looked up in the box's `/etc`.
    pub user: String,
    /// A terminal of this size in place of the three pipes.
    pub tty: Option<TtySize>,
    /// Whether standard input is fed by a client; otherwise it is at its end from the start.
    pub stdin: bool,
    /// Whether set-uid programs and file capabilities are without effect (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
}
