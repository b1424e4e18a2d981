//! QEMU on this host.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An installed QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qemu(pub(crate) PathBuf);

impl Qemu {
    /// The program for guests of this host's architecture.
    pub(crate) const PROGRAM: &str =
        if cfg!(target_arch = "aarch64") { "qemu-system-aarch64" } else { "qemu-system-x86_64" };

    /// The QEMU that `$A3S_BOX_QEMU` names, or the first in `PATH`.
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var_os("A3S_BOX_QEMU").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        named
            .map_or_else(
                || std::env::split_paths(&path).map(|dir| dir.join(Self::PROGRAM)).collect(),
                |named| vec![named],
            )
            .into_iter()
            .find(|file| file.is_file())
            .map(Self)
    }

    /// The first line of what it says its version is.
    pub(crate) fn version(&self) -> Option<String> {
        let output = Command::new(&self.0).arg("--version").stdin(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
    }
}
