//! The guest's own mounts, and the box's root: an image that is only read, a layer that is written, and beneath
//! them what every box has.

use super::fatal::{Fatal, Stage};
use super::trust;
use crate::sys;
use a3s_box_core::{HostEntry, NetTrust};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timestamps, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen,
};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The image.
pub(crate) const LOWER: &str = "/lower";
/// The disk or memory that takes what is written.
pub(crate) const UPPER: &str = "/upper";
/// What every box has, unless its image has something else there.
const TOOLS: &str = "/tools";
/// What the box's network has in place of the image's own.
const NETWORK: &str = "/network";
/// With this a file system tells its disk what it no longer holds, and the host has that room again.
pub(super) const DISCARD: &str = "discard";
/// The cgroup of everything in the box.
pub(crate) const CGROUP: &str = "/sys/fs/cgroup/box";

/// Mounts what init itself needs.
pub(super) fn own() -> Result<(), Fatal> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", quiet, "")?;
    mount("sysfs", "/sys", "sysfs", quiet, "")?;
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, "")?;
    mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, "mode=755")
}

/// Makes the cgroup of the box.
pub(super) fn cgroup() -> Result<OwnedFd, Fatal> {
    const STAGE: &str = "make the box's cgroup";
    rustix::fs::mkdir(CGROUP, Mode::from_raw_mode(0o755)).stage(STAGE)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(CGROUP, flags, Mode::empty()).stage(STAGE)
}

/// The names that a box knows.
pub(super) struct Names<'a> {
    /// Its own.
    pub(super) hostname: &'a str,
    /// Those that a user gave it.
    pub(super) hosts: &'a [HostEntry],
    /// Whom it asks for others, where there is a network.
    pub(super) resolver: Option<IpAddr>,
}

/// Puts the box's root together, and gives it as a mount that is not yet anywhere. `upper` is a disk; without
/// one, memory takes what is written.
pub(super) fn root(
    lower: &str,
    upper: Option<&str>,
    names: &Names<'_>,
    trust: Option<&NetTrust>,
) -> Result<OwnedFd, Fatal> {
    let flags = MountFlags::RDONLY | MountFlags::NODEV;
    mount(lower, LOWER, "erofs", flags, "")?;
    match upper {
        Some(disk) => mount(disk, UPPER, "ext4", MountFlags::NODEV, DISCARD)?,
        None => mount("tmpfs", UPPER, "tmpfs", MountFlags::NODEV, "mode=755")?,
    }
    writable_layer().stage("prepare the writable layer")?;
    let has_etc = tools(names).stage("prepare nsexec")?;
    if let Some(trust) = trust {
        let layers = [format!("{UPPER}/upper"), LOWER.to_owned()];
        trust::write(trust, &layers, TOOLS).stage("tell whom to believe")?;
    }
    let mut layers = format!("{LOWER}:{TOOLS}");
    if has_etc && names.write().stage("prepare name resolution")? {
        layers.insert_str(0, &format!("{NETWORK}:"));
    }
    overlay(layers).stage("join image and writable layer")
}

/// Makes the guest's first file system read-only: this program is on it, and so is `nsexec`.
pub(super) fn protect() -> Result<(), Fatal> {
    sys::mount_read_only(c"/").stage("protect the guest init")
}

/// Unmounts the writable layer, which writes it back.
///
/// # Errors
/// `EBUSY` while anything in the box lives.
pub(crate) fn unmount_upper() -> rustix::io::Result<()> {
    rustix::mount::unmount(UPPER, UnmountFlags::empty())
}

pub(super) fn mount(
    source: &str,
    path: &str,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), Fatal> {
    let why = |e: Errno| {
        let from = if source == kind { String::new() } else { format!(" from {source}") };
        Fatal::new("mount", format_args!("{kind} at {path}{from}: {}", std::io::Error::from(e)))
    };
    let options = std::ffi::CString::new(options).unwrap_or_default();
    match rustix::mount::mount(source, path, kind, flags, options.as_c_str()) {
        Err(Errno::NOENT) if rustix::fs::access(path, rustix::fs::Access::EXISTS).is_err() => {
            rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)).map_err(why)?;
            rustix::mount::mount(source, path, kind, flags, options.as_c_str()).map_err(why)
        }
        other => other.map_err(why),
    }
}

/// The folders that overlayfs needs. The upper one is the box's `/`, so it looks as the image's does.
fn writable_layer() -> std::io::Result<()> {
    let upper = format!("{UPPER}/upper");
    if Path::new(&upper).exists() {
        return Ok(());
    }
    make(&format!("{UPPER}/work"))?;
    // Under another name until it is complete: a boot may be cut short.
    let unfinished = format!("{UPPER}/unfinished");
    make(&unfinished)?;
    look_alike(LOWER, &unfinished)?;
    Ok(rustix::fs::rename(unfinished, upper)?)
}

/// Gives the folder `to` the owner, mode, attributes and times of `from`.
fn look_alike(from: &str, to: &str) -> rustix::io::Result<()> {
    let image = rustix::fs::stat(from)?;
    rustix::fs::chown(to, Some(Uid::from_raw(image.st_uid)), Some(Gid::from_raw(image.st_gid)))?;
    rustix::fs::chmod(to, Mode::from_raw_mode(image.st_mode))?;
    let mut names = Vec::with_capacity(4096);
    rustix::fs::listxattr(from, rustix::buffer::spare_capacity(&mut names))?;
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = Vec::with_capacity(65536);
        rustix::fs::getxattr(from, name, rustix::buffer::spare_capacity(&mut value))?;
        rustix::fs::setxattr(to, name, &value, rustix::fs::XattrFlags::empty())?;
    }
    let time = |sec, nsec| rustix::fs::Timespec { tv_sec: sec, tv_nsec: i64::try_from(nsec).unwrap_or(0) };
    let times = Timestamps {
        last_access: time(image.st_atime, image.st_atime_nsec),
        last_modification: time(image.st_mtime, image.st_mtime_nsec),
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::empty())
}

impl Names<'_> {
    /// Writes what holds whatever the image was built with: whom this box asks for names, and the hosts that a user
    /// gave it. `true` where that takes a layer over the image, which has such a file itself.
    fn write(&self) -> std::io::Result<bool> {
        let mut over = false;
        if let Some(resolver) = self.resolver {
            over |= put("resolv.conf", &format!("nameserver {resolver}\n"))?;
        }
        if !self.hosts.is_empty() {
            over |= put("hosts", &self.hosts())?;
        }
        if over {
            look_alike(&format!("{LOWER}/etc"), &format!("{NETWORK}/etc"))?;
        }
        Ok(over)
    }

    fn hosts(&self) -> String {
        let own = self.hostname;
        let mut text =
            format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{own}\n");
        for HostEntry { name, address } in self.hosts {
            text += &format!("{address}\t{name}\n");
        }
        text
    }
}

/// Writes a file of /etc: over the image's where it has one, which is told, else below the image.
fn put(name: &str, text: &str) -> std::io::Result<bool> {
    let over = std::fs::symlink_metadata(format!("{LOWER}/etc/{name}")).is_ok();
    let etc = format!("{}/etc", if over { NETWORK } else { TOOLS });
    if over && std::fs::symlink_metadata(&etc).is_err() {
        make(NETWORK)?;
        make(&etc)?;
        look_alike(LOWER, NETWORK)?;
    }
    std::fs::write(format!("{etc}/{name}"), text)?;
    Ok(over)
}

/// The lowest layer: mount points, `nsexec`, and names for this machine where the image has none. What the image
/// has goes first, and nothing of this is ever written to the upper layer. `false` for an image without /etc, in
/// which nothing would look for names.
fn tools(names: &Names<'_>) -> std::io::Result<bool> {
    for folder in ["", "/proc", "/sys", "/dev", "/usr", "/usr/bin"] {
        make(&format!("{TOOLS}{folder}"))?;
    }
    rustix::fs::link("/init", format!("{TOOLS}/usr/bin/nsexec"))?;
    let has_etc = std::fs::symlink_metadata(format!("{LOWER}/etc")).is_ok_and(|etc| etc.is_dir());
    if has_etc {
        make(&format!("{TOOLS}/etc"))?;
        std::fs::write(format!("{TOOLS}/etc/hosts"), names.hosts())?;
        std::fs::write(format!("{TOOLS}/etc/hostname"), format!("{}\n", names.hostname))?;
    }
    Ok(has_etc)
}

fn make(path: &str) -> rustix::io::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn overlay(layers: String) -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [
        ("source", "box".to_owned()),
        ("lowerdir", layers),
        ("upperdir", format!("{UPPER}/upper")),
        ("workdir", format!("{UPPER}/work")),
        // A folder of the image can be renamed, as on any file system.
        ("redirect_dir", "on".to_owned()),
    ] {
        fsconfig_set_string(fs.as_fd(), key, value)?;
    }
    fsconfig_create(fs.as_fd())?;
    // Of device nodes only those in /dev work.
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
}
