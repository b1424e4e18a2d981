//! Which boot of the host this is: what need not survive a power cut says in which it was written.

use crate::sys;
use std::io;

/// The id of this boot: on Linux random(4), `boot_id`; on macOS the sysctl `kern.bootsessionuuid`.
///
/// # Errors
/// Those of reading it.
pub fn boot_id() -> io::Result<String> {
    sys::boot_id()
}
