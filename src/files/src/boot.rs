//! Which boot of the host this is: what need not survive a power cut says in which it was written.

use std::io;

/// The id of this boot (random(4), `boot_id`).
///
/// # Errors
/// Those of reading it: only Linux has it.
pub fn boot_id() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim_end().to_owned())
}
