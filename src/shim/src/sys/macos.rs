//! macOS: what watches over a process for its parent's end is another process, with a kqueue(2).

use crate::confine;
use a3s_box_files::Scratch;
use rustix::net::SendFlags;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;

/// There is no such flag, and this program takes no notice of the signal.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();
/// A process has no more descriptors than this here, whatever its limit says (syslimits.h, `OPEN_MAX`).
const OPEN_MAX: u32 = 10_240;

/// Where the descriptor `fd` of this process can be opened.
pub(crate) fn path_of(fd: i32) -> String {
    format!("/dev/fd/{fd}")
}

/// This program.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// A file in this box's folder whose name is gone.
pub(crate) fn anonymous(_name: &str) -> io::Result<File> {
    Scratch::new(Path::new("."))?.file().try_clone()
}

/// A VMM that is installed on the host is kept behind its walls by the command that runs it.
pub(super) struct Walls;

impl Walls {
    pub(super) fn of(_: Option<&confine::Program>) -> Self {
        Self
    }

    pub(super) fn files(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn calls(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes this process die with `parent`: a child of its own waits for the end of either. Async-signal-safe.
pub(super) fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: the calls take numbers, and the child makes none but those that are async-signal-safe.
    unsafe {
        let ours = libc::getpid();
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => watch(parent.cast_signed(), ours),
            _ => {}
        }
        // It may have died before it was watched.
        if u32::try_from(libc::getppid()) != Ok(parent) {
            libc::_exit(1);
        }
    }
    Ok(())
}

/// Waits until one of the processes ends, and kills `ours` where `parent` was the first (kqueue(2), `NOTE_EXIT`).
///
/// # Safety
/// For a process that was just forked, and has nothing else to do.
unsafe fn watch(parent: i32, ours: i32) -> ! {
    let ends = |pid: i32| libc::kevent {
        ident: usize::try_from(pid).unwrap_or(0),
        filter: libc::EVFILT_PROC,
        flags: libc::EV_ADD | libc::EV_ONESHOT,
        fflags: libc::NOTE_EXIT,
        data: 0,
        udata: ptr::null_mut(),
    };
    // SAFETY: the descriptors are this process's alone; the lists of events are as long as is said.
    unsafe {
        // What it holds open would look as if the others did.
        for fd in 0..OPEN_MAX {
            libc::close(fd.cast_signed());
        }
        let queue = libc::kqueue();
        let mut ended = ends(0);
        let asked = [ends(ours), ends(parent)];
        // Either may be gone already, which the call says as an error: then there is nothing to wait for.
        let told = loop {
            let told = libc::kevent(queue, asked.as_ptr(), 2, &mut ended, 1, ptr::null());
            if told >= 0 || *libc::__error() != libc::EINTR {
                break told;
            }
        };
        if told != 1 || ended.flags & libc::EV_ERROR != 0 || ended.ident != asked[0].ident {
            libc::kill(ours, libc::SIGKILL);
        }
        libc::_exit(0);
    }
}

/// Puts on a Seatbelt profile, for good (sandbox_init(3)).
///
/// # Errors
/// What is wrong with the profile.
pub(crate) fn sandbox(profile: Vec<u8>) -> io::Result<()> {
    unsafe extern "C" {
        fn sandbox_init(profile: *const c_char, flags: u64, error: *mut *mut c_char) -> c_int;
        fn sandbox_free_error(error: *mut c_char);
    }
    let (profile, mut error) = (CString::new(profile)?, ptr::null_mut());
    // SAFETY: the profile ends in NUL, flags of 0 say that it is text, and there is room for the error's address.
    if unsafe { sandbox_init(profile.as_ptr(), 0, &mut error) } == 0 {
        return Ok(());
    }
    if error.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is the text that the call has left, which is freed once and not used afterwards.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        sandbox_free_error(error);
        text
    };
    Err(io::Error::other(text))
}

/// Lets no debugger look into this process (ptrace(2), `PT_DENY_ATTACH`).
///
/// # Errors
/// Those of ptrace(2).
pub(crate) fn deny_attach() -> io::Result<()> {
    // SAFETY: the request takes no other argument.
    if unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, ptr::null_mut(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Landlock is Linux's.
pub(crate) fn landlock_version() -> u32 {
    0
}
