//! Whether whoever wrote a file still lives. A process is told by its number and when it started, never by the number
//! alone.

use crate::sys;
use std::io;
use std::os::fd::OwnedFd;

/// What the host's kernel knows of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Whose child it is.
    pub parent: i32,
    /// When it started, in the host's own ticks: on Linux those since the boot (proc(5), field 22 of `stat`), on macOS
    /// microseconds since the UNIX epoch (libproc.h, `pbi_start_tvsec`).
    pub start_time: u64,
    /// Whether it has ended, and its parent has not asked how.
    pub is_zombie: bool,
}

impl Process {
    /// The process `pid`, if there is one.
    pub fn find(pid: i32) -> Option<Self> {
        sys::process(pid)
    }

    /// What can be read, as poll(2) has it, once the process `pid` has ended: on Linux pidfd_open(2), on macOS a
    /// kqueue(2).
    ///
    /// # Errors
    /// Those of making it; there may be no such process.
    pub fn end_of(pid: i32) -> io::Result<OwnedFd> {
        sys::end_of(pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn the_end_of_a_process_is_told_before_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let found = Process::find(pid).unwrap();
        assert_eq!((Some(found.parent), found.is_zombie), (i32::try_from(std::process::id()).ok(), false));
        let end = Process::end_of(pid).unwrap();
        let mut fds = [PollFd::new(&end, PollFlags::IN)];
        let (none, minute) = (Timespec { tv_sec: 0, tv_nsec: 0 }, Timespec { tv_sec: 60, tv_nsec: 0 });
        assert_eq!(poll(&mut fds, Some(&none)).unwrap(), 0);
        child.kill().unwrap();
        assert_eq!(poll(&mut fds, Some(&minute)).unwrap(), 1);
        assert!(Process::find(pid).is_none_or(|process| process.is_zombie));
        child.wait().unwrap();
        assert_eq!(Process::find(pid), None);
    }
}
