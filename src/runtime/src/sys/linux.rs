//! Linux: `/proc`, and the calls that are its own.

use a3s_box_core::Bytes;
use rustix::mount::UnmountFlags;
use rustix::process::{Signal, pidfd_send_signal};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Whether the shim serves folders of the host to its box.
pub(crate) const SERVES_FILES: bool = true;
/// What the kernel adds to the path of a folder that was removed under a process.
const DELETED: &str = " (deleted)";
/// A command line longer than this says nothing more.
const MAX_WORDS: usize = 1 << 20;

/// How much memory there is; none where the host does not say.
pub(crate) fn memory() -> Option<Bytes> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(Bytes(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10))
}

/// Whether there is Apple's Hypervisor framework.
pub(crate) fn hvf() -> Result<(), String> {
    Err("hvf is Apple's, and this is no Apple silicon".to_owned())
}

/// Kills the process whose `end` is waited for. It may have ended.
pub(crate) fn kill(_pid: i32, end: &OwnedFd) {
    let _ = pidfd_send_signal(end, Signal::KILL);
}

/// The numbers of all processes.
pub(crate) fn processes() -> io::Result<Vec<i32>> {
    let names = fs::read_dir("/proc")?.flatten();
    Ok(names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The first word of the command line of the process `pid`.
pub(crate) fn first_word(pid: i32) -> Option<OsString> {
    let mut words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    words.truncate(MAX_WORDS);
    Some(OsString::from_vec(words.split(|byte| *byte == 0).next()?.to_vec()))
}

/// The folder that the process `pid` works in, and whether it is gone.
pub(crate) fn working_folder(pid: i32) -> Option<(PathBuf, bool)> {
    let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let bytes = folder.as_os_str().as_bytes();
    Some(match bytes.strip_suffix(DELETED.as_bytes()) {
        Some(gone) => (PathBuf::from(OsStr::from_bytes(gone)), true),
        None => (folder, false),
    })
}

/// Bytes of memory that the process `pid` has for itself and shares (proc_pid_statm(5)).
pub(crate) fn resident(pid: i32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages = statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Where file systems are mounted, outer mounts first.
pub(crate) fn mounts() -> io::Result<Vec<PathBuf>> {
    // proc(5): the fifth field is the mount point, in which white space is written in octal.
    let table = match fs::read_to_string("/proc/self/mountinfo") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let point = |line: &str| {
        let field = line.split(' ').nth(4)?;
        Some(PathBuf::from(
            field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"),
        ))
    };
    Ok(table.lines().filter_map(point).collect())
}

/// Takes away what is mounted at `path`.
pub(crate) fn unmount(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)?)
}
