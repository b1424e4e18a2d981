//! What a program that is started does not inherit.

use crate::sys;
use std::io;

/// Leaves the descriptors from `first` on to nobody who is executed: close_range(2) on Linux, fcntl(2) on macOS.
/// Async-signal-safe (signal-safety(7)), so that it can stand between fork and exec.
///
/// # Errors
/// Those of close_range(2).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    sys::close_on_exec_from(first)
}
