//! The shim's unsafe code: descriptors it is given, and what the VMM's process does between fork and exec.
#![allow(unsafe_code, reason = "inherited descriptors and pre_exec have no safe form")]

#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "sys/macos.rs"]
mod system;

#[cfg(any(krun, target_os = "macos"))]
pub(crate) use system::path_of;
#[cfg(target_os = "linux")]
pub(crate) use system::register;
pub(crate) use system::{NO_SIGNAL, anonymous, landlock_version, this_program};
#[cfg(target_os = "macos")]
pub(crate) use system::{deny_attach, sandbox};

use crate::confine;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// The descriptors from 3 on, `count` of them, which this program was started with. They are not passed on further.
///
/// # Errors
/// `EBADF` where one is not open, `InvalidInput` when called again.
pub(crate) fn inherited(count: i32) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let take = |fd: i32| {
        // SAFETY: fcntl(2) takes any number; a descriptor that is not open is an error.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, it was given to this process for its own, and only one caller ever gets here.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    (3..3 + count).map(take).collect()
}

/// Makes the process of `command` die with this thread (on macOS with this process), leave its session, gain no
/// privileges, write no core, keep to what `program` leaves it, and have `fds` as descriptors 3, 4, 5, … and no others.
pub(crate) fn confine(
    command: &mut Command,
    fds: &[&OwnedFd],
    program: Option<&confine::Program>,
) -> io::Result<Vec<OwnedFd>> {
    use std::os::unix::process::CommandExt;
    // Above every number they will be given, so that no dup2 overwrites one that is still to be moved.
    let high =
        fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 64)).collect::<Result<Vec<OwnedFd>, _>>()?;
    let raw: Vec<i32> = high.iter().map(AsRawFd::as_raw_fd).collect();
    let walls = system::Walls::of(program);
    let memory = program.map(|program| libc::rlimit { rlim_cur: program.memory, rlim_max: program.memory });
    let last = 2 + u32::try_from(raw.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let parent = std::process::id();
    // SAFETY: only async-signal-safe calls (signal-safety(7)), and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            // One byte, not none: a handler of core dumps that is a pipe takes no notice of none (core(5)).
            let no_core = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
            if libc::setsid() < 0 || libc::setrlimit(libc::RLIMIT_CORE, &no_core) < 0 {
                return Err(io::Error::last_os_error());
            }
            system::die_with(parent)?;
            if let Some(memory) = &memory
                && libc::setrlimit(libc::RLIMIT_DATA, memory) < 0
            {
                return Err(io::Error::last_os_error());
            }
            walls.files()?;
            for (target, fd) in (3..).zip(&raw) {
                if libc::dup2(*fd, target) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            walls.calls()?;
            // What whoever started this program left open is not the VMM's to have.
            a3s_box_files::close_on_exec_from(last + 1)
        });
    }
    Ok(high)
}

/// Calls that have no safe form because nobody should make them: what a confined process is tried with.
#[cfg(test)]
#[cfg(target_os = "linux")]
pub(crate) mod testing {
    use std::io::Error;

    pub(crate) fn ptrace_parent() -> Error {
        // SAFETY: PTRACE_ATTACH takes a process id and two words that it ignores.
        let result = unsafe { libc::ptrace(libc::PTRACE_ATTACH, libc::getppid(), 0, 0) };
        assert!(result < 0);
        Error::last_os_error()
    }

    pub(crate) fn execve_self() -> Error {
        let path = c"/proc/self/exe".as_ptr();
        let words = [path, std::ptr::null()];
        // SAFETY: the path and both lists end as execve(2) wants them.
        unsafe { libc::execve(path, words.as_ptr(), words[1..].as_ptr()) };
        Error::last_os_error()
    }

    pub(crate) fn map_code() -> Error {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        assert_eq!(at, libc::MAP_FAILED);
        Error::last_os_error()
    }

    pub(crate) fn kill_parent() -> Error {
        // SAFETY: signal 0 only asks.
        let result = unsafe { libc::kill(libc::getppid(), 0) };
        assert!(result < 0);
        Error::last_os_error()
    }
}
