//! What lies under the state directory, or works in it, and belongs to no box, image, network or volume: processes,
//! mounts, folders, sockets, temporary files, half-made images, disks.
//!
//! Crashes leave it. Most of it is swept by the next command that changes anything; here all of it is found, told with
//! its size, and removed if asked for. Owns no files of its own: every kind is told from the living by the rule of its
//! owner, above all by the locks that the living hold. Lock files stay: removing one is a race, and one that nobody
//! holds is nothing but a name. `doctor` is the caller, under the lock of the state.

mod files;
mod processes;

use crate::engine::in_use;
use crate::state::{BoxRecord, State, look};
use crate::{Home, host, sys};
use a3s_box_core::{BoxError, HostProcess, Result};
use a3s_box_image::{ImageStore, RootfsCache};
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// What kind of thing was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftoverKind {
    /// A shim or a VMM.
    Process,
    /// A file system that is mounted in a box's folder; nobody of ours mounts any.
    Mount,
    /// A box that is to be removed, or can never run again.
    Box,
    /// The folder of a box.
    Folder,
    /// A file that its writer did not finish.
    TemporaryFile,
    /// A socket that nobody listens to.
    Socket,
    /// A blob, or the begin of one, that no image has.
    Blob,
    /// A rootfs image that cannot be used.
    Rootfs,
    /// A part of a network, or a box's place in one.
    Network,
    /// A part of a volume.
    Volume,
    /// A disk of a version that is not made any more.
    Disk,
    /// A saved guest that no box can go on from.
    Template,
}

impl fmt::Display for LeftoverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Mount => "mount",
            Self::Box => "box",
            Self::Folder => "folder",
            Self::TemporaryFile => "temporary file",
            Self::Socket => "socket",
            Self::Blob => "blob",
            Self::Rootfs => "rootfs image",
            Self::Network => "part of a network",
            Self::Volume => "part of a volume",
            Self::Disk => "disk",
            Self::Template => "template",
        })
    }
}

/// Something that belongs to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// Its path; of a process, its number and program; of a box, its name.
    pub name: String,
    /// Why it belongs to nobody.
    pub why: String,
    /// Bytes on the disk; of a process, in memory.
    pub size: u64,
    /// Whether it is gone now.
    pub removed: bool,
    /// What kept it from being removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(skip)]
    what: What,
}

/// What is to be removed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Process(HostProcess),
    Mount(PathBuf),
    Box(Box<BoxRecord>),
    /// A file, or a folder with all that is in it.
    Path(PathBuf),
    /// A file of the image store, which removes it itself.
    Stored(PathBuf),
}

impl Leftover {
    fn new(kind: LeftoverKind, name: String, why: impl Into<String>, size: u64, what: What) -> Self {
        Self { kind, name, why: why.into(), size, removed: false, failure: None, what }
    }

    fn is_at(&self, path: &Path) -> bool {
        matches!(&self.what, What::Path(own) if own == path)
    }

    fn path(kind: LeftoverKind, path: PathBuf, why: impl Into<String>) -> Self {
        let (name, size) = (path.display().to_string(), disk_usage(&path));
        Self::new(kind, name, why, size, What::Path(path))
    }
}

/// All that was left, in the order in which it can go.
///
/// # Errors
/// Those of reading the state directory and the process table.
pub(crate) fn find(home: &Home, state: &State) -> Result<Vec<Leftover>> {
    let mut found = processes::find(home, state)?;
    let mounts =
        mounts(&home.boxes()).map_err(|e| BoxError::io("cannot read which file systems are mounted", e))?;
    found.extend(mounts.into_iter().rev().map(|path| {
        let why = "a3s-box mounts nothing on the host, and a box's folder is its own";
        Leftover::new(LeftoverKind::Mount, path.display().to_string(), why, 0, What::Mount(path))
    }));
    for record in state.records().values() {
        let size = disk_usage(home.folder(&record.id).path());
        let why = if !home.folder(&record.id).path().exists() {
            "its folder is gone, and what it had written with it"
        } else if look(home, record)?.is_spent(record) {
            "its run is over, after which it was to be removed"
        } else {
            continue;
        };
        let what = What::Box(Box::new(record.clone()));
        found.push(Leftover::new(LeftoverKind::Box, record.name.to_string(), why, size, what));
    }
    found.extend(files::find(home, state)?);
    found.extend(images(home, state)?);
    Ok(found)
}

/// Removes `found`. What cannot go is told in its place.
pub(crate) fn remove(
    home: &Home,
    found: &mut [Leftover],
    mut remove_box: impl FnMut(&BoxRecord) -> Result<()>,
) {
    let mut store = None;
    for leftover in found {
        let gone = match &leftover.what {
            What::Process(process) => match host::kill(*process, PATIENCE) {
                true => Ok(()),
                false => Err(format!("it lives {} s after SIGKILL", PATIENCE.as_secs())),
            },
            What::Mount(path) => sys::unmount(path).map_err(|e| e.to_string()),
            What::Box(record) => remove_box(record).map_err(|error| error.with_causes()),
            What::Path(path) => remove_path(path).map_err(|e| e.to_string()),
            What::Stored(path) => {
                // All of it goes at once, unless somebody has come who may need it.
                let swept = store.get_or_insert_with(|| {
                    ImageStore::at(home.images()).remove_unneeded().map_err(|error| error.to_string())
                });
                match swept {
                    Ok(()) if path.exists() => Err("the image store is in use".to_owned()),
                    other => other.clone(),
                }
            }
        };
        leftover.removed = gone.is_ok();
        leftover.failure = gone.err();
    }
}

fn images(home: &Home, state: &State) -> Result<Vec<Leftover>> {
    let store = ImageStore::at(home.images());
    let blobs = store.unneeded()?.into_iter().map(|path| {
        let (name, size) = (path.display().to_string(), disk_usage(&path));
        let why = "no image has it: a pull or a load was cut short";
        Leftover::new(LeftoverKind::Blob, name, why, size, What::Stored(path))
    });
    let mut found: Vec<Leftover> = blobs.collect();
    let rootfs = RootfsCache::at(home.rootfs());
    let mut needed = in_use(state).rootfs;
    for image in store.list()? {
        match image {
            Ok(image) => {
                let path = rootfs.path(&image);
                needed.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
            }
            // Which rootfs image is its cannot be told.
            Err(_) => return Ok(found),
        }
    }
    let broken = rootfs.broken(&needed)?;
    found.extend(broken.into_iter().map(|path| {
        Leftover::path(LeftoverKind::Rootfs, path, "no image and no box uses it, and it is not whole")
    }));
    Ok(found)
}

/// What is mounted below `dir`, outer mounts first.
fn mounts(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let all = sys::mounts()?;
    if all.is_empty() {
        return Ok(all);
    }
    let dir = fs::canonicalize(dir)?;
    Ok(all.into_iter().filter(|path| path.starts_with(&dir) && *path != dir).collect())
}

/// Removes a file or a folder, but never what another file system holds.
fn remove_path(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => {
            if !mounts(path)?.is_empty() {
                return Err(io::Error::other("a file system is mounted in it"));
            }
            fs::remove_dir_all(path)
        }
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Bytes that `path`, and all in it, take up on the disk.
fn disk_usage(path: &Path) -> u64 {
    let Ok(data) = fs::symlink_metadata(path) else { return 0 };
    let own = data.blocks() * 512;
    if !data.is_dir() {
        return own;
    }
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    own + inside.map(|entry| disk_usage(&entry.path())).sum::<u64>()
}
