//! Everything that can be seen of a file system tree, path by path.

use a3s_box_image::Digest;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What `lstat`, `readlink`, `read` and `getxattr` tell of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub mode: u32,
    pub owner: (u32, u32),
    pub nlink: u64,
    pub size: u64,
    pub mtime: (i64, i64),
    pub rdev: u64,
    pub content: Vec<u8>,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// All paths below `root`, and the root itself.
pub fn see(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        let kind = data.file_type();
        let content = if kind.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().as_bytes().to_vec()
        } else if kind.is_file() {
            Digest::of(&fs::read(&path).unwrap()).bytes().to_vec()
        } else {
            Vec::new()
        };
        if kind.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let device = kind.is_char_device() || kind.is_block_device();
        let entry = Seen {
            mode: data.mode(),
            owner: (data.uid(), data.gid()),
            nlink: data.nlink(),
            // How long a directory is differs from one file system to another.
            size: if kind.is_dir() { 0 } else { data.size() },
            mtime: (data.mtime(), data.mtime_nsec()),
            rdev: if device { data.rdev() } else { 0 },
            content,
            xattrs: xattrs(&path),
        };
        seen.insert(path.strip_prefix(root).unwrap().to_path_buf(), entry);
    }
    seen
}

fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (std::ffi::OsStr::from_bytes(name).to_owned(), value(name))).collect()
}

/// Fails on the first differences between two trees.
pub fn assert_same(left: &BTreeMap<PathBuf, Seen>, right: &BTreeMap<PathBuf, Seen>) {
    let mut differences = Vec::new();
    for path in left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))) {
        let (l, r) = (left.get(path), right.get(path));
        if l != r {
            differences.push(format!("{path:?}\n  left:  {l:?}\n  right: {r:?}"));
        }
    }
    let shown = differences.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} of {} paths differ:\n{shown}", differences.len(), left.len());
}
