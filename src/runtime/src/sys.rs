//! The runtime's unsafe code: what a shim's process does between fork and exec, what the processor says of itself, and
//! what is asked of each operating system in its own way.
#![allow(unsafe_code, reason = "pre_exec has no safe form, neither have fork and dup2 inside it, nor CPUID")]

#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "sys/macos.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "sys/inotify.rs"]
mod watch;
#[cfg(target_os = "macos")]
#[path = "sys/kqueue.rs"]
mod watch;

pub(crate) use system::{
    SERVES_FILES, first_word, hvf, kill, memory, mounts, processes, resident, unmount, working_folder,
};
pub(crate) use watch::Watch;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs `command` detached: in a session of its own, as nobody's child, with `fds` as descriptors 3, 4, 5, … alone.
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
    let last = 2 + u32::try_from(raw.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the closure calls only async-signal-safe functions (setsid, fork, _exit, dup2, close_range, fcntl; see
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
            // Whoever waits for the end of a pipe that this process was given must not wait for the shim's.
            a3s_box_files::close_on_exec_from(last + 1)
        });
    }
    command.spawn()?.wait()?;
    drop(fds);
    Ok(())
}

/// Family and model of a processor that has SEV-SNP (AMD64 Architecture Programmer's Manual 3, E.4.17); none of others.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, reason = "later compilers know that CPUID is safe")]
pub(crate) fn sev_snp() -> Option<(u32, u32)> {
    use std::arch::x86_64::__cpuid;
    const ENCRYPTION: u32 = 0x8000_001f;
    // SAFETY: every 64-bit x86 processor has CPUID and these leaves, or says that it has not the last.
    let (last, encryption, signature) =
        unsafe { (__cpuid(0x8000_0000).eax, __cpuid(ENCRYPTION).eax, __cpuid(1).eax) };
    let snp = 1 << 4;
    if last < ENCRYPTION || encryption & snp == 0 {
        return None;
    }
    let part = |shift: u32, mask: u32| signature >> shift & mask;
    let family = part(8, 0xf) + if part(8, 0xf) == 0xf { part(20, 0xff) } else { 0 };
    Some((family, part(4, 0xf) | part(16, 0xf) << 4))
}

/// Other architectures have none.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn sev_snp() -> Option<(u32, u32)> {
    None
}
