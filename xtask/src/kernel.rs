//! The guest kernel.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// The standard flavour.
pub(crate) fn standard() -> Result<PathBuf> {
    std::env::var_os("A3S_VMLINUX").map(PathBuf::from).context("no kernel recipe yet")
}
