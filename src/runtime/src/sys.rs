//! The runtime's one piece of unsafe code: what a shim's process does between fork and exec.
#![allow(unsafe_code, reason = "pre_exec has no safe form, and neither have fork and dup2 inside it")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs `command` detached: in a session of its own, as nobody's child, with `fds` as descriptors 3, 4, 5, …
///
/// # Errors
/// Those of fork(2) and execve(2).
pub(crate) fn spawn_detached(command: &mut Command, fds: Vec<OwnedFd>) -> io::Result<()> {
    // Above every number they will be given, so that no dup2 overwrites one that is still to be moved.
    let fds = fds
        .into_iter()
        .map(|fd| rustix::io::fcntl_dupfd_cloexec(&fd, 64))
        .collect::<Result<Vec<OwnedFd>, _>>()?;
    let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: the closure calls only async-signal-safe functions (setsid, fork, _exit, dup2; see
    // signal-safety(7)) and allocates nothing, as is due between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            match libc::fork() {
                -1 => return Err(io::Error::last_os_error()),
                0 => {}
                // The session leader ends at once: the shim is orphaned, so no caller need ever reap it.
                _ => libc::_exit(0),
            }
            for (target, fd) in (3..).zip(&raw) {
                if libc::dup2(*fd, target) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    command.spawn()?.wait()?;
    drop(fds);
    Ok(())
}
