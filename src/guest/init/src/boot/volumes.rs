//! The box's volumes: disks whose folder `data` is mounted in the box.

use super::fatal::{Fatal, Stage};
use super::mounts::{DISCARD, LOWER, mount};
use crate::process::filesystems::detached;
use a3s_box_core::VolumeMount;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use std::os::fd::OwnedFd;
use std::path::Path;

const STAGE: &str = "prepare a volume";

/// Mounts them from these `disks`; what is to be put into the box, in the same order.
pub(super) fn open(volumes: &[VolumeMount], disks: &[String]) -> Result<Vec<OwnedFd>, Fatal> {
    let each = volumes.iter().zip(disks).enumerate();
    each.map(|(index, (volume, disk))| one(&place(index), volume, disk)).collect()
}

fn one(place: &str, volume: &VolumeMount, disk: &str) -> Result<OwnedFd, Fatal> {
    // A disk that can only be read cannot be mended by reading its journal.
    let (flags, options) =
        if volume.read_only { (MountFlags::RDONLY, "noload") } else { (MountFlags::empty(), DISCARD) };
    mount(disk, place, "ext4", flags | MountFlags::NODEV, options)?;
    let data = format!("{place}/data");
    if !Path::new(&data).exists() {
        if volume.read_only {
            let name = &volume.volume;
            return Err(Fatal::new(STAGE, format_args!("volume {name} is empty; mount it writable once")));
        }
        // Under another name until it is complete: a boot may be cut short.
        let unfinished = format!("{place}/unfinished");
        std::fs::create_dir_all(&unfinished).stage(STAGE)?;
        look_alike(&volume.target, &unfinished).stage(STAGE)?;
        rustix::fs::rename(unfinished, &data).stage(STAGE)?;
    }
    detached(&data).stage(STAGE)
}

/// Gives a new volume the owner and mode of the folder that the image has in its place, where it has one: whoever is to
/// write there may.
fn look_alike(target: &str, data: &str) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let image = rustix::fs::open(LOWER, flags, Mode::empty())?;
    // The image's links lead nowhere but into the image.
    let folder = rustix::fs::openat2(
        &image,
        target.trim_start_matches('/'),
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    );
    let Ok(folder) = folder else { return Ok(()) };
    let of = rustix::fs::fstat(&folder)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(of.st_uid), rustix::fs::Gid::from_raw(of.st_gid));
    rustix::fs::chown(data, Some(uid), Some(gid))?;
    rustix::fs::chmod(data, Mode::from_raw_mode(of.st_mode))
}

/// Unmounts them, which writes them back.
///
/// # Errors
/// `EBUSY` while anything in the box lives.
pub(crate) fn unmount_volumes(count: usize) -> rustix::io::Result<()> {
    for index in 0..count {
        match rustix::mount::unmount(place(index), UnmountFlags::empty()) {
            // It was unmounted in an earlier try.
            Err(rustix::io::Errno::INVAL) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Where a volume is mounted for the guest init. Not below a folder, which would have to be made first.
fn place(index: usize) -> String {
    format!("/{}", a3s_box_core::volume_serial(index))
}
