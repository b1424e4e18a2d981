//! Linux: prctl(2), Landlock, seccomp, memfd_create(2).

use crate::confine;
use rustix::fs::MemfdFlags;
use rustix::net::SendFlags;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whoever sends to somebody who is gone hears so by an error, not by a signal.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Where the descriptor `fd` of this process can be opened.
pub(crate) fn path_of(fd: i32) -> String {
    format!("/proc/self/fd/{fd}")
}

/// This program, whatever has taken its file's place meanwhile.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    Ok("/proc/self/exe".into())
}

/// A file in memory that has no name but in lists of open files.
pub(crate) fn anonymous(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// What the process of a VMM that is installed on the host is kept behind.
pub(super) struct Walls {
    files: Option<i32>,
    calls: Option<seccompiler::BpfProgram>,
}

impl Walls {
    pub(super) fn of(program: Option<&confine::Program>) -> Self {
        Self {
            files: program.and_then(|program| program.files.as_ref()).map(AsRawFd::as_raw_fd),
            calls: program.map(|program| program.calls.clone()),
        }
    }

    /// Leaves this process its files. Async-signal-safe.
    pub(super) fn files(&self) -> io::Result<()> {
        if let Some(files) = self.files
            // SAFETY: the call takes two numbers.
            && unsafe { libc::syscall(libc::SYS_landlock_restrict_self, files, 0) } < 0
        {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Leaves this process its system calls: what is refused, none of what follows needs. Async-signal-safe.
    pub(super) fn calls(&self) -> io::Result<()> {
        if let Some(calls) = &self.calls
            && seccompiler::apply_filter(calls).is_err()
        {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// Makes this process gain no privileges and die with the thread of `parent` that made it. Async-signal-safe.
pub(super) fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: these calls take numbers.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
            || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0
        {
            return Err(io::Error::last_os_error());
        }
        // It may have died before the signal was asked for.
        if u32::try_from(libc::getppid()) != Ok(parent) {
            libc::_exit(1);
        }
    }
    Ok(())
}

/// Registers a descriptor to be read with the runtime.
///
/// # Errors
/// Those of epoll_ctl(2).
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and stays the same one until its owner, here the result, drops it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// The version of Landlock's interface; 0 where the kernel is without it (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: asked for the version, the call takes no pointer.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}
