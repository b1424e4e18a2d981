//! `volume`: disks with names, which outlive the boxes that they are mounted in.

use super::{Engine, now};
use crate::Home;
use crate::state::State;
use crate::volumes::{VolumeView, Volumes};
use a3s_box_core::{BoxConfig, BoxError, Bytes, ErrorKind, Result, VolumeName};
use std::collections::BTreeMap;

/// How much fits into a volume, unless a user says otherwise.
const SIZE: Bytes = Bytes::gib(10);
const SIZES: std::ops::RangeInclusive<Bytes> = Bytes::mib(16)..=Bytes::gib(2048);

impl Engine {
    /// Makes a volume, unless it is there already; then it stays as it is.
    ///
    /// # Errors
    /// `InvalidInput` for a size that makes no sense, and those of formatting the disk.
    pub fn create_volume(
        &self,
        name: &VolumeName,
        size: Option<Bytes>,
        labels: BTreeMap<String, String>,
    ) -> Result<()> {
        let size = size.unwrap_or(SIZE);
        if !SIZES.contains(&size) {
            return Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid size {size} of a volume"))
                .with_hint(format!("ask for {} to {}", SIZES.start(), SIZES.end())));
        }
        let _state = State::write(&self.home)?;
        self.make_volume(name, size, labels)
    }

    /// Makes those volumes of a box that are not there yet, under the lock of the state.
    pub(super) fn make_volumes(&self, config: &BoxConfig) -> Result<()> {
        config.volumes.iter().try_for_each(|mount| self.make_volume(&mount.volume, SIZE, BTreeMap::new()))
    }

    fn make_volume(&self, name: &VolumeName, size: Bytes, labels: BTreeMap<String, String>) -> Result<()> {
        let volumes = Volumes::of(&self.home);
        if volumes.exists(name) {
            return Ok(());
        }
        let empty = self.empty_disk(size)?;
        volumes.create(name, (&empty, size), labels, now())
    }

    /// Removes a volume, and what is in it.
    ///
    /// # Errors
    /// `NotFound` for none, `WrongState` where a box has it, whether that runs or not.
    pub fn remove_volume(&self, name: &VolumeName) -> Result<()> {
        let state = State::write(&self.home)?;
        let volumes = Volumes::of(&self.home);
        if let Some(user) = volumes.view(&state, name)?.boxes.first() {
            return Err(BoxError::new(ErrorKind::WrongState, format!("box {user} has volume {name}"))
                .with_hint(format!("remove the box first, with `a3s-box rm {user}`")));
        }
        volumes.remove(name)
    }

    /// Removes the volumes that no box has; those removed.
    ///
    /// # Errors
    /// Those of reading and removing them.
    pub fn prune_volumes(&self) -> Result<Vec<VolumeView>> {
        let state = State::write(&self.home)?;
        let volumes = Volumes::of(&self.home);
        volumes.sweep()?;
        let mut unused = views(&self.home, &state)?;
        unused.retain(|volume| volume.boxes.is_empty());
        unused.iter().try_for_each(|volume| volumes.remove(&volume.name))?;
        Ok(unused)
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// Those of reading them.
    pub fn volumes(&self) -> Result<Vec<VolumeView>> {
        views(&self.home, &State::read(&self.home)?)
    }

    /// The volume `name`.
    ///
    /// # Errors
    /// `NotFound` for none.
    pub fn inspect_volume(&self, name: &VolumeName) -> Result<VolumeView> {
        Volumes::of(&self.home).view(&State::read(&self.home)?, name)
    }
}

/// All volumes, by name.
pub(super) fn views(home: &Home, state: &State) -> Result<Vec<VolumeView>> {
    let volumes = Volumes::of(home);
    volumes.names()?.iter().map(|name| volumes.view(state, name)).collect()
}
