//! The box's bind mounts: FUSE file systems whose requests the host answers, through the agent.
//!
//! Nothing here or elsewhere in this process looks into such a mount: it would wait for the host, and with it the whole
//! guest.

use super::fatal::{Fatal, Stage};
use super::mounts::mount;
use crate::process::Mounted;
use crate::process::user;
use a3s_box_core::BindPoint;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

const STAGE: &str = "prepare a bind mount";
/// Where the kernel has its file systems of this kind.
const CONTROL: &str = "/sys/fs/fuse/connections";
/// How far the kernel reads ahead, in KiB: as much as one request may ask for.
const AHEAD: &str = "1024";

/// One of them: the requests of the guest's kernel, and the number of its file system.
pub(crate) struct Bind {
    requests: OwnedFd,
    minor: u32,
}

impl Bind {
    /// Where requests are read and answers are written.
    pub(crate) fn requests(&self) -> std::io::Result<OwnedFd> {
        self.requests.try_clone()
    }

    /// Ends it: whatever waits for an answer is told that there will be none. That others may still have the descriptor
    /// open, children that are yet to become their programs, is no matter then.
    pub(crate) fn end(self) {
        let _ = std::fs::write(format!("{CONTROL}/{}/abort", self.minor), "1");
    }
}

/// All of them.
pub(crate) struct Binds {
    waiting: Mutex<Vec<Option<Bind>>>,
    quit: watch::Sender<bool>,
    /// Whom the box runs as.
    pub(crate) owner: (u32, u32),
}

impl Binds {
    /// Takes number `index`, which nobody has taken.
    pub(crate) fn take(&self, index: usize) -> Option<Bind> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index)?.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Told when all are to end.
    pub(crate) fn quit(&self) -> watch::Receiver<bool> {
        self.quit.subscribe()
    }

    /// Ends all of them.
    pub(crate) fn end(&self) {
        self.quit.send_replace(true);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.drain(..).flatten().for_each(Bind::end);
    }
}

/// Makes them, for a box that runs as `user` in `root`; and the mounts that are to be put into the box.
pub(super) fn open(
    points: &[BindPoint],
    root: BorrowedFd<'_>,
    user: &str,
) -> Result<(Binds, Vec<Mounted>), Fatal> {
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    let mut owner = (0, 0);
    if !points.is_empty() {
        mount("fusectl", CONTROL, "fusectl", MountFlags::empty(), "")?;
        // One that is not there is refused later, by name.
        owner = user::look_up_in(root, user).map_or(owner, |user| (user.uid, user.gid));
    }
    for point in points {
        let (bind, mount) = one(point).stage(STAGE)?;
        binds.push(Some(bind));
        mounts.push(Mounted { path: point.target.clone(), mount, file: point.file });
    }
    Ok((Binds { waiting: Mutex::new(binds), quit: watch::Sender::new(false), owner }, mounts))
}

fn one(point: &BindPoint) -> rustix::io::Result<(Bind, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let requests = rustix::fs::open("/dev/fuse", flags, Mode::empty())?;
    let fs = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let kind = if point.file { "100000" } else { "40000" };
    for (key, value) in [
        ("source", "host"),
        ("fd", requests.as_raw_fd().to_string().as_str()),
        ("rootmode", kind),
        ("user_id", "0"),
        ("group_id", "0"),
    ] {
        fsconfig_set_string(fs.as_fd(), key, value)?;
    }
    // Modes are the guest's kernel's to check, for all of the box's users.
    fsconfig_set_flag(fs.as_fd(), "default_permissions")?;
    fsconfig_set_flag(fs.as_fd(), "allow_other")?;
    fsconfig_create(fs.as_fd())?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    if point.read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    let mount = fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // Asked for nothing that the host would have to tell.
    let how = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let minor = rustix::fs::statx(&mount, c"", how, StatxFlags::empty())?.stx_dev_minor;
    // It works without, if slowly.
    let _ = std::fs::write(format!("/sys/class/bdi/0:{minor}/read_ahead_kb"), AHEAD);
    Ok((Bind { requests, minor }, mount))
}
