//! macOS: libproc(3), sysctl(3) and kqueue(2).
#![allow(unsafe_code, reason = "sysctl, libproc, kevent and fcntl have no safe form")]

use crate::Process;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::Errno;
use rustix::process::Pid;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The sysctl `kern.bootsessionuuid`, which the kernel makes anew at each boot.
pub(crate) fn boot_id() -> io::Result<String> {
    let mut text = [0u8; 64];
    let mut length = text.len();
    // SAFETY: the name ends in NUL, and the kernel writes at most `length` bytes.
    let done = unsafe {
        let name = c"kern.bootsessionuuid".as_ptr();
        libc::sysctlbyname(name, text.as_mut_ptr().cast(), &mut length, std::ptr::null_mut(), 0)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    Ok(String::from_utf8_lossy(&text[..end]).into_owned())
}

/// `proc_pidinfo` with `PROC_PIDTBSDINFO` (libproc.h).
pub(crate) fn process(pid: i32) -> Option<Process> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of_val(&info)).ok()?;
    // Asked with this argument, the kernel looks among the zombies, too.
    const ZOMBIES: u64 = 1;
    // SAFETY: the kernel writes no more than `size` bytes.
    let written =
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, ZOMBIES, info.as_mut_ptr().cast(), size) };
    if written != size {
        return None;
    }
    // SAFETY: all of it was written.
    let info = unsafe { info.assume_init() };
    Some(Process {
        parent: i32::try_from(info.pbi_ppid).ok()?,
        start_time: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        is_zombie: info.pbi_status == libc::SZOMB,
    })
}

/// A kqueue with `EVFILT_PROC` and `NOTE_EXIT`: it can be read once the process has ended.
pub(crate) fn end_of(pid: i32) -> io::Result<OwnedFd> {
    let queue = kqueue()?;
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let filter = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    let event = Event::new(filter, EventFlags::ADD | EventFlags::ONESHOT, std::ptr::null_mut());
    let mut none: [Event; 0] = [];
    // SAFETY: the event names a process, and no descriptor that could be closed.
    match unsafe { kevent(&queue, &[event], &mut none[..], Some(Duration::ZERO)) } {
        Ok(_) => Ok(queue),
        // It has ended already, which the end of a pipe tells as well.
        Err(Errno::SRCH) => Ok(io::pipe()?.0.into()),
        Err(error) => Err(error.into()),
    }
}

/// fcntl(2), `F_SETFD`.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    /// A process has no more descriptors than this here, whatever its limit says (syslimits.h).
    const OPEN_MAX: u32 = 10_240;
    for fd in first..OPEN_MAX {
        // SAFETY: fcntl(2) takes any number; one that is not open is an error, and no matter.
        unsafe { libc::fcntl(fd.cast_signed(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}
