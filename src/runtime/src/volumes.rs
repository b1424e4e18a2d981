//! Volumes as they are kept: `volumes/NAME/`, which holds `data.ext4` and then `volume.json`, which makes it a volume.
//!
//! A volume is in use while a live box has it; who is live is told by the boxes' run locks, so there is no lock to be left
//! behind by a crash. Used under the lock of the state alone.

use crate::engine::copy_sparse;
use crate::home::Home;
use crate::host;
use crate::state::{BoxRecord, State, look};
use a3s_box_core::{BoxError, BoxName, Bytes, ErrorKind, Result, VolumeDisk, VolumeName, did_you_mean};
use a3s_box_files::{Scratch, sync_dir};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file of ours is never longer.
const MAX_FILE: u64 = 1 << 20;
const FILE: &str = "volume.json";
const DATA: &str = "data.ext4";
/// How long the VMM of a box whose shim was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A volume as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeFile {
    created_at: u64,
    size: Bytes,
    labels: BTreeMap<String, String>,
}

/// A volume, and the boxes that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeView {
    /// Its name.
    pub name: VolumeName,
    /// What keeps it: always `local`.
    pub driver: &'static str,
    /// Its disk.
    pub mountpoint: PathBuf,
    /// How much fits.
    pub size: Bytes,
    /// Bytes on the host's disk.
    pub used: u64,
    /// When it was made, in microseconds since the UNIX epoch.
    pub created_at: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The boxes that have it, whether they run or not.
    pub boxes: Vec<BoxName>,
}

/// All of them.
pub(crate) struct Volumes(PathBuf);

impl Volumes {
    pub(crate) fn of(home: &Home) -> Self {
        Self(home.volumes())
    }

    pub(crate) fn exists(&self, name: &VolumeName) -> bool {
        self.folder(name).join(FILE).exists()
    }

    /// Makes a volume of a copy of the disk `empty`.
    pub(crate) fn create(
        &self,
        name: &VolumeName,
        (empty, size): (&Path, Bytes),
        labels: BTreeMap<String, String>,
        now: u64,
    ) -> Result<()> {
        let folder = self.folder(name);
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let data = Scratch::new(&folder)?;
            copy_sparse(&File::open(empty)?, data.file())?;
            data.keep(&folder.join(DATA))?;
            let file = VolumeFile { created_at: now, size, labels };
            Scratch::write(&folder.join(FILE), &serde_json::to_vec(&file)?)?;
            sync_dir(&self.0)
        };
        make().map_err(|e| {
            drop(fs::remove_dir_all(&folder));
            BoxError::io(format!("cannot create volume {name}"), e)
        })
    }

    /// Removes a volume that no box has.
    pub(crate) fn remove(&self, name: &VolumeName) -> Result<()> {
        let folder = self.folder(name);
        // Without this file it is none any more, whatever becomes of the rest.
        fs::remove_file(folder.join(FILE))
            .and_then(|()| fs::remove_dir_all(&folder))
            .map_err(|e| BoxError::io(format!("cannot remove volume {name}"), e))
    }

    /// Removes what was left of volumes that were being made or removed.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.half_made()?.into_iter().try_for_each(|entry| {
            fs::remove_dir_all(&entry)
                .map_err(|e| BoxError::io(format!("cannot remove {}", entry.display()), e))
        })
    }

    /// What was left of volumes that were being made or removed.
    pub(crate) fn half_made(&self) -> Result<Vec<PathBuf>> {
        Ok(self.entries()?.into_iter().filter(|entry| !entry.join(FILE).exists()).collect())
    }

    /// The names of all, in order.
    pub(crate) fn names(&self) -> Result<Vec<VolumeName>> {
        let mut names: Vec<VolumeName> = self
            .entries()?
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .filter(|name| self.exists(name))
            .collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn view(&self, state: &State, name: &VolumeName) -> Result<VolumeView> {
        let folder = self.folder(name);
        let failed = |e| BoxError::io(format!("cannot read volume {name}"), e);
        let mut json = Vec::new();
        match File::open(folder.join(FILE)) {
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut json).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let names = self.names()?;
                let meant = did_you_mean(name.as_str(), names.iter().map(VolumeName::as_str));
                return Err(BoxError::new(ErrorKind::NotFound, format!("no such volume: {name}{meant}"))
                    .with_hint("see `a3s-box volume ls`, or make it with `a3s-box volume create`"));
            }
            Err(e) => return Err(failed(e)),
        };
        let file: VolumeFile = serde_json::from_slice(&json).map_err(|e| failed(e.into()))?;
        let data = folder.join(DATA);
        let used = fs::metadata(&data).map_err(failed)?.blocks() * 512;
        let has = |r: &&BoxRecord| r.config.volumes.iter().any(|mount| mount.volume == *name);
        let mut boxes: Vec<BoxName> = state.records().values().filter(has).map(|r| r.name.clone()).collect();
        boxes.sort();
        let VolumeFile { created_at, size, labels } = file;
        let name = name.clone();
        Ok(VolumeView { name, driver: "local", mountpoint: data, size, used, created_at, labels, boxes })
    }

    /// The disks of the volumes of `record`, which is about to be started under the lock of the state.
    ///
    /// # Errors
    /// `NotFound` for a volume that is gone, `WrongState` for one that a live box has, unless both only read it.
    pub(crate) fn attach(&self, home: &Home, state: &State, record: &BoxRecord) -> Result<Vec<VolumeDisk>> {
        let mut disks = Vec::new();
        for mount in &record.config.volumes {
            let name = &mount.volume;
            let view = self.view(state, name)?;
            for other in state.records().values().filter(|other| other.id != record.id) {
                let theirs = other.config.volumes.iter().find(|theirs| theirs.volume == *name);
                let Some(theirs) = theirs else { continue };
                let seen = look(home, other)?;
                if !seen.state.is_live() {
                    // Its shim may have been killed a moment ago.
                    seen.of_this_boot().and_then(|status| status.vmm).map(|vmm| host::kill(vmm, PATIENCE));
                } else if !(mount.read_only && theirs.read_only) {
                    return Err(BoxError::new(
                        ErrorKind::WrongState,
                        format!("volume {name} is in use by box {}, which is {}", other.name, seen.state),
                    )
                    .with_hint("a disk has one writer: stop that box, or mount the volume :ro in both"));
                }
            }
            disks.push(VolumeDisk { path: view.mountpoint, read_only: mount.read_only });
        }
        Ok(disks)
    }

    fn entries(&self) -> Result<Vec<PathBuf>> {
        let failed = |e| BoxError::io(format!("cannot read {}", self.0.display()), e);
        match fs::read_dir(&self.0) {
            Ok(entries) => entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(failed(e)),
        }
    }

    fn folder(&self, name: &VolumeName) -> PathBuf {
        self.0.join(name.as_str())
    }
}
