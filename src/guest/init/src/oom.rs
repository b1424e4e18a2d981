//! Whether the kernel has killed a process because the guest was out of memory. Only its log says which.

use rustix::fs::{Mode, OFlags};
use std::time::Duration;

/// A record of the log is not longer (linux, Documentation/ABI/testing/dev-kmsg).
const MAX_RECORD: usize = 8192;
/// The kernel sends the signal a moment before it writes it down.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

/// Whether process `pid`, which SIGKILL has ended, was killed for want of memory.
pub(crate) fn killed(pid: i32) -> bool {
    if !any() {
        return false;
    }
    // What follows the word is the number and then the name, which is too short to hold such a line itself.
    let line = format!("Killed process {pid} (");
    (0..TRIES).any(|_| {
        let found = logged(&line);
        if !found {
            std::thread::sleep(PAUSE);
        }
        found
    })
}

/// Whether this kernel has ever killed one.
fn any() -> bool {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counters.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
}

/// Whether the kernel's log says `text`.
fn logged(text: &str) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(log) = rustix::fs::open("/dev/kmsg", flags, Mode::empty()) else { return false };
    let mut record = [0; MAX_RECORD];
    loop {
        match rustix::io::read(&log, &mut record) {
            Ok(length) => {
                if String::from_utf8_lossy(&record[..length]).contains(text) {
                    return true;
                }
            }
            // The record to come was overwritten; the next read goes on after it.
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
