//! The first process of a box that was asked for one (`--init`): it passes signals on to the command, which is the
//! second, collects what others leave behind, and ends as the command does.

use super::caps;
use super::failure::Failure;
use super::user::User;
use crate::sys::{self, Fork};
use rustix::fs::OFlags;
use rustix::process::{Pid, WaitOptions};
use rustix::thread::CapabilitySet;
use std::os::fd::OwnedFd;

/// `struct signalfd_siginfo`, which begins with the signal's number.
const SIGINFO: usize = size_of::<libc::signalfd_siginfo>();

/// Forks, and comes back in the child alone. This process's capabilities are within `bounds`.
pub(super) fn remain(bounds: CapabilitySet) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| Failure::io("cannot start the box's first process", e);
    let signals = sys::signal_fd((1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP].contains(n)));
    let signals = signals.map_err(cannot)?;
    match sys::fork(0, None).map_err(cannot)? {
        Fork::Child => {
            sys::reset_signals();
            Ok(())
        }
        Fork::Parent(command, pidfd) => attend(command, &pidfd, &signals, bounds),
    }
}

fn attend(command: Pid, pidfd: &OwnedFd, signals: &OwnedFd, bounds: CapabilitySet) -> ! {
    let alone = || -> rustix::io::Result<()> {
        rustix::fs::fcntl_setfl(signals, OFlags::empty())?;
        // Nothing of init's stays open here but these two.
        rustix::stdio::dup2_stdin(signals)?;
        rustix::stdio::dup2_stdout(pidfd)
    };
    let prepared = alone();
    sys::close_from(2);
    let root = User { uid: 0, gid: 0, groups: Vec::new(), home: Vec::new() };
    // Nothing is left that it could be made to do, but to signal the command, whoever that has become.
    if prepared.is_err() || caps::become_user(&root, CapabilitySet::KILL, bounds).is_err() {
        sys::exit_now(126);
    }
    loop {
        let mut info = [0; SIGINFO];
        match rustix::io::read(rustix::stdio::stdin(), &mut info) {
            Ok(SIGINFO) | Err(rustix::io::Errno::INTR) => {}
            _ => sys::exit_now(126),
        }
        match i32::from_ne_bytes([info[0], info[1], info[2], info[3]]) {
            libc::SIGCHLD | 0 => collect(command),
            // The command may have ended, which is told next.
            number => drop(sys::send_signal(rustix::stdio::stdout(), number)),
        }
    }
}

/// Collects who has ended; ends with the command.
fn collect(command: Pid) {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == command {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            sys::exit_now(signal.or(status.exit_status()).unwrap_or(126));
        }
    }
}
