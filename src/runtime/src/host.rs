//! The host's process table: who lives, told by PID and start time, never by the PID alone.

use crate::sys;
use a3s_box_core::HostProcess;
use a3s_box_files::Process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the UNIX epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The process `pid`, if there is one that is not a zombie.
pub(crate) fn process(pid: i32) -> Option<HostProcess> {
    let found = Process::find(pid).filter(|process| !process.is_zombie)?;
    Some(HostProcess { pid, start_time: found.start_time })
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
    // On Linux the descriptor pins the process: what it names cannot be replaced between the check and the signal.
    let Ok(end) = Process::end_of(which.pid) else { return !is_alive(which) };
    if !is_alive(which) {
        return true;
    }
    sys::kill(which.pid, &end);
    gone(which, patience)
}

/// Waits until that very process is gone, at most `patience`. Whether it is.
pub(crate) fn gone(which: HostProcess, patience: Duration) -> bool {
    let Ok(end) = Process::end_of(which.pid) else { return !is_alive(which) };
    if !is_alive(which) {
        return true;
    }
    let timeout = rustix::event::Timespec::try_from(patience).ok();
    let mut fds = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
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
