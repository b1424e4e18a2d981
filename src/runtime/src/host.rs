//! The host: its memory, and its process table: who lives, told by PID and start time, never by the PID alone.

use a3s_box_core::{Bytes, HostProcess};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the UNIX epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How much memory there is; none where the host does not say.
pub(crate) fn memory() -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(Bytes(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10))
}

/// The process `pid`, if there is one that is not a zombie.
pub(crate) fn process(pid: i32) -> Option<HostProcess> {
    let stat = stat(pid)?;
    let mut fields = stat.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(HostProcess { pid, start_time })
}

/// Whose child the process `pid` is.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What the kernel tells of the process `pid`, from field 3 on.
fn stat(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the name, field 2, may hold anything, so fields are counted from the last parenthesis.
    Some(stat.rsplit_once(')')?.1.to_owned())
}

/// This process.
pub(crate) fn myself() -> Option<HostProcess> {
    process(i32::try_from(std::process::id()).ok()?)
}

/// Whether that very process lives.
pub(crate) fn is_alive(which: HostProcess) -> bool {
    process(which.pid) == Some(which)
}

/// Kills that very process, and waits until it is gone, at most `patience`. Whether it is gone.
pub(crate) fn kill(which: HostProcess, patience: Duration) -> bool {
    // The descriptor pins the process: what it names cannot be replaced between the check and the signal.
    let Some(fd) = Pid::from_raw(which.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return !is_alive(which);
    };
    if !is_alive(which) {
        return true;
    }
    let _ = pidfd_send_signal(&fd, Signal::KILL);
    gone(which, patience)
}

/// Waits until that very process is gone, at most `patience`. Whether it is.
pub(crate) fn gone(which: HostProcess, patience: Duration) -> bool {
    let Some(fd) = Pid::from_raw(which.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return !is_alive(which);
    };
    if !is_alive(which) {
        return true;
    }
    let timeout = rustix::event::Timespec::try_from(patience).ok();
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let _ = rustix::event::poll(&mut fds, timeout.as_ref());
    !is_alive(which)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start_time() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let it = process(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(is_alive(it));
        let impostor = HostProcess { start_time: it.start_time + 1, ..it };
        assert!(!is_alive(impostor));
        assert!(kill(impostor, Duration::from_secs(1)), "an impostor counts as gone");
        assert!(is_alive(it), "and the process that has the PID now is left alone");
        assert!(kill(it, Duration::from_secs(10)));
        child.wait().unwrap();
        assert!(!is_alive(it));
    }
}
