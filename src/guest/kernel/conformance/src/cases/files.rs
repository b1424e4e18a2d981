//! File systems, and the disk below them.

use rustix::fs::{Advice, FileType, XattrFlags, fadvise, getxattr, mknodat, setxattr, symlink};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NOTHING: Option<&std::ffi::CStr> = None;
/// The disk that the guest was given for this: an empty ext4 file system.
const DISK: &str = "/dev/vda";
const MIB: usize = 1 << 20;

/// Bytes that tell where they belong.
fn block(number: usize) -> Vec<u8> {
    (0..MIB / 8)
        .flat_map(|word| (number * MIB + word).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

/// What every file system of a box must do. Nothing of it stays.
fn exercise(dir: &Path) {
    names(dir);
    attributes(dir);
}

/// Files come and go by many names.
fn names(dir: &Path) {
    fs::create_dir_all(dir.join("a/b")).expect("mkdir");
    fs::write(dir.join("a/file"), "text").expect("write");
    fs::hard_link(dir.join("a/file"), dir.join("a/b/link")).expect("link");
    symlink("a/file", dir.join("symlink")).expect("symlink");
    assert_eq!(fs::metadata(dir.join("symlink")).expect("stat").nlink(), 2);
    fs::rename(dir.join("a/b/link"), dir.join("renamed")).expect("rename");
    for number in 0..500 {
        fs::write(dir.join(format!("a/{number}")), number.to_string()).expect("write");
    }
    assert_eq!(fs::read_dir(dir.join("a")).expect("readdir").count(), 502);
    fs::remove_dir_all(dir.join("a")).expect("remove");
    assert_eq!(fs::read_to_string(dir.join("renamed")).expect("read"), "text");
    for name in ["renamed", "symlink"] {
        fs::remove_file(dir.join(name)).expect("remove");
    }
}

/// Files carry more than bytes, and some are devices.
fn attributes(dir: &Path) {
    fs::write(dir.join("file"), "text").expect("write");
    fs::hard_link(dir.join("file"), dir.join("link")).expect("link");
    setxattr(dir.join("link"), c"user.test", b"value", XattrFlags::empty()).expect("setxattr");
    let mut value = [0; 16];
    assert_eq!(getxattr(dir.join("file"), c"user.test", &mut value).expect("getxattr"), 5);
    // A minimal list of access: owner, group, others.
    let acl = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255,
        255, 255,
    ];
    setxattr(dir.join("link"), c"system.posix_acl_access", &acl, XattrFlags::empty()).expect("an ACL");
    setxattr(
        dir.join("link"),
        c"security.capability",
        &[1, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        XattrFlags::empty(),
    )
    .expect("file capabilities");
    mknodat(
        rustix::fs::CWD,
        dir.join("null"),
        FileType::CharacterDevice,
        0o666.into(),
        rustix::fs::makedev(1, 3),
    )
    .expect("mknod");
    for name in ["file", "link", "null"] {
        fs::remove_file(dir.join(name)).expect("remove");
    }
}

pub fn tmpfs() {
    exercise(Path::new("/tmp"));
}

/// 64 MiB through ext4 to the disk, out of memory, and back.
pub fn disk() {
    if !Path::new(DISK).exists() {
        panic!("no {DISK}");
    }
    let dir = Path::new("/tmp/disk");
    fs::create_dir_all(dir).expect("mkdir");
    mount(DISK, dir, "ext4", MountFlags::empty(), NOTHING).expect("mount ext4");
    exercise(dir);
    blocks(dir, 64);
    unmount(dir, UnmountFlags::empty()).expect("unmount");
}

/// The host's folder, by virtio-fs. What attributes its files have is the host's matter.
pub fn folder() {
    let dir = Path::new("/tmp/folder");
    fs::create_dir_all(dir).expect("mkdir");
    mount("folder", dir, "virtiofs", MountFlags::empty(), NOTHING).expect("mount virtiofs");
    names(dir);
    blocks(dir, 16);
    unmount(dir, UnmountFlags::empty()).expect("unmount");
}

/// `count` MiB into a file, out of memory, and back.
fn blocks(dir: &Path, count: usize) {
    let path = dir.join("blocks");
    let mut file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path).expect("open");
    for number in 0..count {
        file.write_all(&block(number)).expect("write");
    }
    file.sync_all().expect("fsync");
    fadvise(&file, 0, None, Advice::DontNeed).expect("fadvise");
    drop(file);
    fs::write("/proc/sys/vm/drop_caches", "3").expect("drop_caches");
    let mut file = File::open(&path).expect("open");
    let mut got = vec![0; MIB];
    for number in (0..count).rev() {
        file.seek(SeekFrom::Start((number * MIB) as u64)).expect("seek");
        file.read_exact(&mut got).expect("read");
        assert!(got == block(number), "block {number}");
    }
    drop(file);
    fs::remove_file(&path).expect("remove");
}

/// overlayfs joins a read-only file system and a writable one.
pub fn overlay() {
    let base = Path::new("/tmp/overlay");
    for dir in ["lower", "upper", "work", "merged"] {
        fs::create_dir_all(base.join(dir)).expect("mkdir");
    }
    fs::write(base.join("lower/kept"), "lower").expect("write");
    fs::write(base.join("lower/gone"), "lower").expect("write");
    let merged = base.join("merged");
    mount(
        "overlay",
        &merged,
        "overlay",
        MountFlags::empty(),
        Some(c"lowerdir=/tmp/overlay/lower,upperdir=/tmp/overlay/upper,workdir=/tmp/overlay/work"),
    )
    .expect("mount overlay");
    fs::write(merged.join("kept"), "upper").expect("write");
    fs::remove_file(merged.join("gone")).expect("remove");
    exercise(&merged);
    assert_eq!(fs::read_to_string(base.join("lower/kept")).expect("read"), "lower");
    assert!(base.join("lower/gone").exists() && !merged.join("gone").exists());
    unmount(&merged, UnmountFlags::empty()).expect("unmount");
    fs::remove_dir_all(base).expect("remove");
}
