//! The host's folders and files that a box has: none here. The file server works with `O_PATH`, openat2(2) and
//! `/proc/self/fd`, which macOS has no like of.

use crate::vmm::Link;
use a3s_box_core::ShimSpec;
use std::process::ExitCode;

/// The word that makes this program a file server, elsewhere.
pub(crate) const WORD: &str = "files";
const NONE: &str = "bind mounts need a Linux host";

/// Says that there is no file server.
pub(crate) fn enter(_json: Option<&str>) -> ExitCode {
    eprintln!("{NONE}");
    ExitCode::FAILURE
}

/// A file server that runs: never.
pub(crate) enum Binds {}

/// Refuses a `spec` with files of the host, as the runtime has already.
///
/// # Errors
/// That there is no file server.
pub(crate) async fn start(spec: &ShimSpec) -> Result<Option<Binds>, String> {
    if spec.binds.is_empty() { Ok(None) } else { Err(NONE.to_owned()) }
}

impl Binds {
    /// As on Linux.
    pub(crate) fn serve(&mut self, _link: &Link) {
        match *self {}
    }

    /// As on Linux.
    pub(crate) async fn stop(self) {
        match self {}
    }
}
