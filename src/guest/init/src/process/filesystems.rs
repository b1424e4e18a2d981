//! What a contained process finds at `/proc`, `/sys` and `/dev`, and what of it is hidden, as OCI runtimes have it.
//!
//! Runs in the new process, in its own namespaces, with its root at `/`.

use super::Mounted;
use super::failure::Failure;
use crate::sys;
use a3s_box_core::{Bytes, GuestConfig, Tmpfs};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, UnmountFlags};
use std::ffi::{CStr, CString};
use std::fs::DirBuilder;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;

/// Devices that every container has. They are mounts of the guest's own: on no other file system of a box do
/// device nodes work, so one that a box makes, or that its image holds, opens nothing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 6] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const READ_ONLY: MountFlags = QUIET.union(MountFlags::RDONLY);

/// What tells of the machine, or reaches beyond the box.
const MASKED: [&CStr; 9] = [
    c"/proc/acpi",
    c"/proc/asound",
    c"/proc/interrupts",
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/scsi",
    c"/proc/timer_list",
    c"/sys/firmware",
];

const LOCKED: [&CStr; 5] = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];

/// The terminals' file system of one box, not yet anywhere.
pub(crate) fn new_terminals() -> rustix::io::Result<OwnedFd> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    let fs = rustix::mount::fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("source", "devpts"), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")] {
        rustix::mount::fsconfig_set_string(fs.as_fd(), key, value)?;
    }
    rustix::mount::fsconfig_create(fs.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Opens guest devices before the guest's own `/dev` goes out of sight.
pub(crate) fn devices() -> Result<Vec<OwnedFd>, Failure> {
    let open = |name: &&str| {
        let path = format!("/dev/{name}");
        detached(&path).map_err(|e| Failure::io(format!("cannot pass {path} on"), e))
    };
    DEVICES.iter().map(open).collect()
}

/// A copy of the mount that `path` is on, from `path` down, which is not yet anywhere.
pub(crate) fn detached(path: &str) -> rustix::io::Result<OwnedFd> {
    use rustix::mount::OpenTreeFlags;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
}

/// Puts a mount that is not yet anywhere at `path`, which may not be a link.
pub(crate) fn attach(mount: BorrowedFd<'_>, path: &str) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::open(path, flags, Mode::empty())?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target.as_fd(), "", how)
}

/// Mounts everything that a new container has.
pub(crate) fn furnish(
    devices: &[OwnedFd],
    terminals: BorrowedFd<'_>,
    further: &[Mounted],
    guest: &GuestConfig,
) -> Result<(), Failure> {
    for path in ["/proc", "/sys", "/dev"] {
        // An image may have anything there, and a mount follows links.
        if !rustix::fs::lstat(path).is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir()) {
            return Err(Failure::setup(format!("the image's {path} is not a directory")));
        }
    }
    mount("proc", "/proc", QUIET, None)?;
    mount("sysfs", "/sys", READ_ONLY, None)?;
    mount("cgroup2", "/sys/fs/cgroup", READ_ONLY, None)?;
    mount("tmpfs", "/dev", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755,size=64m"))?;
    for (name, device) in DEVICES.iter().zip(devices) {
        let path = format!("/dev/{name}");
        file(&path).and_then(|()| attach(device.as_fd(), &path)).map_err(|e| failed(&path, e))?;
    }
    for (link, target) in LINKS {
        rustix::fs::symlink(target, link).map_err(|e| failed(link, e))?;
    }
    for name in ["/dev/pts", "/dev/shm", "/dev/mqueue"] {
        rustix::fs::mkdir(name, Mode::from_raw_mode(0o755)).map_err(|e| failed(name, e))?;
    }
    attach(terminals, "/dev/pts").map_err(|e| failed("/dev/pts", e))?;
    shared_memory(guest)?;
    mount("mqueue", "/dev/mqueue", QUIET, None)?;
    hide("/")?;
    // What lies in another comes after it.
    let depth = |path: &str| path.matches('/').count();
    let mut mounts: Vec<(&str, Inside<'_>)> =
        guest.tmpfs.iter().map(|tmpfs| (tmpfs.path.as_str(), Inside::Memory(tmpfs))).collect();
    mounts.extend(further.iter().map(|mounted| (mounted.path.as_str(), Inside::Mounted(mounted))));
    mounts.sort_by_key(|(path, _)| depth(path));
    mounts.into_iter().try_for_each(|(path, inside)| match inside {
        Inside::Memory(tmpfs) => in_memory(tmpfs),
        Inside::Mounted(mounted) => {
            if mounted.file {
                place_for_file(path)?
            } else {
                folder(path)?
            }
            attach(mounted.mount.as_fd(), path).map_err(|e| failed(path, e))
        }
    })
}

/// What a user mounts in a box.
enum Inside<'a> {
    Memory(&'a Tmpfs),
    Mounted(&'a Mounted),
}

fn shared_memory(guest: &GuestConfig) -> Result<(), Failure> {
    let size = guest.shm_size.unwrap_or(Bytes::mib(64)).0;
    let options = CString::new(format!("mode=1777,size={size}")).unwrap_or_default();
    mount("tmpfs", "/dev/shm", QUIET, Some(&options))
}

/// Makes a file system in memory, and the folder that it is to be at.
fn in_memory(tmpfs: &Tmpfs) -> Result<(), Failure> {
    let path = tmpfs.path.as_str();
    let mode = match rustix::fs::stat(path) {
        Ok(folder) => folder.st_mode & 0o7777,
        Err(_) => 0o1777,
    };
    folder(path)?;
    let mut flags = MountFlags::NODEV;
    flags.set(MountFlags::RDONLY, tmpfs.read_only);
    flags.set(MountFlags::NOEXEC, !tmpfs.exec);
    flags.set(MountFlags::NOSUID, !tmpfs.suid);
    let data = CString::new(tmpfs.data(mode)).unwrap_or_default();
    mount("tmpfs", path, flags, Some(&data))
}

/// Makes the folder that something is to be mounted at.
fn folder(path: &str) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|e| Failure::io(format!("cannot make the folder {path:?}"), e))
}

/// Makes the file that something is to be mounted at, where there is nothing yet.
fn place_for_file(path: &str) -> Result<(), Failure> {
    if rustix::fs::lstat(path).is_ok() {
        return Ok(());
    }
    if let Some((above, _)) = path.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
        folder(above)?;
    }
    file(path).map_err(|e| Failure::io(format!("cannot make the file {path:?}"), e))
}

/// Makes the root read-only, and nothing that is mounted in it.
pub(crate) fn protect_root() -> Result<(), Failure> {
    sys::mount_read_only(c"/").map_err(|e| Failure::io("cannot make the root read-only", e))
}

/// Takes away what [`refurnish`] will mount anew.
pub(crate) fn clear(net: bool) {
    let sys = if net { &[][..] } else { &["/sys"] };
    for path in ["/dev/mqueue", "/dev/shm", "/dev/pts", "/proc"].iter().chain(sys) {
        // What is not a mount point needs no clearing.
        let _ = rustix::mount::unmount(*path, UnmountFlags::DETACH);
    }
}

/// Mounts what belongs to namespaces that are new within a box. `/sys` shows a network, so it stays where `net` is
/// shared.
pub(crate) fn refurnish(terminals: BorrowedFd<'_>, net: bool, guest: &GuestConfig) -> Result<(), Failure> {
    mount("proc", "/proc", QUIET, None)?;
    if !net {
        mount("sysfs", "/sys", READ_ONLY, None)?;
        mount("cgroup2", "/sys/fs/cgroup", READ_ONLY, None)?;
        hide("/sys/")?;
    }
    attach(terminals, "/dev/pts").map_err(|e| failed("/dev/pts", e))?;
    shared_memory(guest)?;
    mount("mqueue", "/dev/mqueue", QUIET, None)?;
    hide("/proc/")
}

/// Binds the terminal of this number to `/dev/console`.
pub(crate) fn console(number: u32) -> Result<(), Failure> {
    let pts = format!("/dev/pts/{number}");
    file("/dev/console")
        .and_then(|()| rustix::mount::mount_bind(&pts, "/dev/console"))
        .map_err(|e| failed("/dev/console", e))
}

pub(crate) fn mount(
    kind: &str,
    path: &str,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<(), Failure> {
    rustix::mount::mount(kind, path, kind, flags, options).map_err(|e| failed(path, e))
}

fn file(path: &str) -> rustix::io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o666)).map(drop)
}

/// Hides what containers do not see, and makes read-only what they may only read; what the kernel does not have
/// needs neither. Only what is below `folder`.
fn hide(folder: &str) -> Result<(), Failure> {
    let below = |path: &&&CStr| path.to_bytes().starts_with(folder.as_bytes());
    for path in MASKED.iter().filter(below) {
        let masked = match rustix::fs::stat(*path) {
            Err(Errno::NOENT) => continue,
            Err(e) => Err(e),
            Ok(s) if rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir() => {
                rustix::mount::mount("tmpfs", *path, "tmpfs", READ_ONLY, c"size=0")
            }
            Ok(_) => rustix::mount::mount_bind("/dev/null", *path),
        };
        masked.map_err(|e| failed(&path.to_string_lossy(), e))?;
    }
    for path in LOCKED.iter().filter(below) {
        match rustix::mount::mount_bind(*path, *path) {
            Err(Errno::NOENT) => continue,
            other => other.map_err(|e| failed(&path.to_string_lossy(), e))?,
        }
        sys::mount_read_only(path).map_err(|e| Failure::io(format!("cannot protect {path:?}"), e))?;
    }
    Ok(())
}

fn failed(path: &str, error: Errno) -> Failure {
    Failure::io(format!("cannot mount {path}"), error)
}

/// Makes `root`, which is not yet anywhere, the root of this mount namespace, in which nothing else remains.
pub(crate) fn enter(root: BorrowedFd<'_>, own: &[&str], volumes: usize) -> Result<(), Failure> {
    let cannot = |e: Errno| Failure::io("cannot enter the box's root", e);
    for path in own {
        rustix::mount::unmount(*path, UnmountFlags::DETACH).map_err(cannot)?;
    }
    crate::boot::unmount_volumes(volumes).map_err(cannot)?;
    // The guest's first root cannot be unmounted or pivoted away; covered, nothing leads to it any more.
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(root, "", rustix::fs::CWD, "/", how).map_err(cannot)?;
    rustix::process::fchdir(root).map_err(cannot)?;
    rustix::process::chroot(".").map_err(cannot)?;
    rustix::process::chdir("/").map_err(cannot)
}
