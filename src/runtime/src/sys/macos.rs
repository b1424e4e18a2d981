//! macOS: libproc(3) and sysctl(3).

use a3s_box_core::Bytes;
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;

/// Whether the shim serves folders of the host to its box.
pub(crate) const SERVES_FILES: bool = false;
/// What a command line can be (syslimits.h, `ARG_MAX`).
const ARG_MAX: usize = 1 << 20;

/// The sysctl `name`, a number.
fn number<T: Default>(name: &CStr) -> Option<T> {
    let (mut value, mut size) = (T::default(), size_of::<T>());
    // SAFETY: the name ends in NUL, and the kernel writes at most `size` bytes of a number.
    let done =
        unsafe { libc::sysctlbyname(name.as_ptr(), (&raw mut value).cast(), &mut size, ptr::null_mut(), 0) };
    (done == 0 && size == size_of::<T>()).then_some(value)
}

/// How much memory there is (`hw.memsize`); none where the host does not say.
pub(crate) fn memory() -> Option<Bytes> {
    number::<u64>(c"hw.memsize").map(Bytes)
}

/// Whether there is Apple's Hypervisor framework (`kern.hv_support`), on a processor that boots what we have.
pub(crate) fn hvf() -> Result<(), String> {
    if !cfg!(target_arch = "aarch64") {
        return Err("hvf runs boxes on Apple silicon alone".to_owned());
    }
    match number::<i32>(c"kern.hv_support") {
        Some(1) => Ok(()),
        _ => Err("this host has no hvf (sysctl kern.hv_support)".to_owned()),
    }
}

/// Kills the process `pid`, which was looked at just now. It may have ended.
pub(crate) fn kill(pid: i32, _end: &OwnedFd) {
    // SAFETY: the call takes two numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// The numbers of all processes.
pub(crate) fn processes() -> io::Result<Vec<i32>> {
    // SAFETY: without a buffer it answers how many there are.
    let count = unsafe { libc::proc_listallpids(ptr::null_mut(), 0) };
    // Some may have come until they are read.
    let mut pids = vec![0i32; usize::try_from(count).map_err(|_| io::Error::last_os_error())? + 64];
    let size = i32::try_from(size_of_val(&pids[..])).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `size` bytes.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
    pids.truncate(usize::try_from(count).map_err(|_| io::Error::last_os_error())?);
    Ok(pids)
}

/// The first word of the command line of the process `pid` (sysctl(3), `KERN_PROCARGS2`).
pub(crate) fn first_word(pid: i32) -> Option<OsString> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let (mut text, mut length) = (vec![0u8; ARG_MAX], ARG_MAX);
    // SAFETY: the name has three parts, and the kernel writes at most `length` bytes.
    let done = unsafe {
        libc::sysctl(name.as_mut_ptr(), 3, text.as_mut_ptr().cast(), &mut length, ptr::null_mut(), 0)
    };
    // The number of words, the program's path, NULs, and then the words, each with a NUL.
    let text = text.get(size_of::<i32>()..length).filter(|_| done == 0)?;
    let path = text.iter().position(|byte| *byte == 0)?;
    let words = text[path..].iter().position(|byte| *byte != 0).map(|at| &text[path + at..])?;
    Some(OsString::from_vec(words.split(|byte| *byte == 0).next()?.to_vec()))
}

/// The folder that the process `pid` works in (libproc.h, `PROC_PIDVNODEPATHINFO`), and whether it is gone.
pub(crate) fn working_folder(pid: i32) -> Option<(PathBuf, bool)> {
    let info: libc::proc_vnodepathinfo = info(pid, libc::PROC_PIDVNODEPATHINFO)?;
    let path = info.pvi_cdir.vip_path.as_flattened().iter().map(|byte| byte.cast_unsigned());
    let path = PathBuf::from(OsString::from_vec(path.take_while(|byte| *byte != 0).collect()));
    let gone = !path.exists();
    Some((path, gone))
}

/// Bytes of memory that the process `pid` occupies (libproc.h, `PROC_PIDTASKINFO`).
pub(crate) fn resident(pid: i32) -> Option<u64> {
    info::<libc::proc_taskinfo>(pid, libc::PROC_PIDTASKINFO).map(|info| info.pti_resident_size)
}

/// What the kernel knows of the process `pid`: `flavor` says that it is a `T`.
fn info<T>(pid: i32, flavor: i32) -> Option<T> {
    let mut info = MaybeUninit::<T>::uninit();
    let size = i32::try_from(size_of::<T>()).ok()?;
    // SAFETY: the kernel writes at most `size` bytes.
    let written = unsafe { libc::proc_pidinfo(pid, flavor, 0, info.as_mut_ptr().cast(), size) };
    // SAFETY: all of it was written, and the callers name what the kernel writes for their flavour.
    (written == size).then(|| unsafe { info.assume_init() })
}

/// Where file systems are mounted, outer mounts first (getfsstat(2)).
pub(crate) fn mounts() -> io::Result<Vec<PathBuf>> {
    // SAFETY: without a buffer it answers how many there are.
    let count = unsafe { libc::getfsstat(ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let mut all: Vec<libc::statfs> = Vec::with_capacity(count);
    let size = i32::try_from(count * size_of::<libc::statfs>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `size` bytes, and answers how many of them are whole.
    let count = unsafe { libc::getfsstat(all.as_mut_ptr(), size, libc::MNT_NOWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: so many were written, and there was room for them.
    unsafe { all.set_len(count) };
    let point = |fs: &libc::statfs| {
        let bytes = fs.f_mntonname.iter().map(|byte| byte.cast_unsigned());
        PathBuf::from(OsString::from_vec(bytes.take_while(|byte| *byte != 0).collect()))
    };
    Ok(all.iter().map(point).collect())
}

/// Takes away what is mounted at `path`.
pub(crate) fn unmount(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends in NUL.
    if unsafe { libc::unmount(path.as_ptr(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
