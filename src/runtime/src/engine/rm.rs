//! `rm`: removes boxes, and what crashes left of them.

use super::{Engine, wrong_state};
use crate::events::event;
use crate::host;
use crate::networks::Networks;
use crate::state::{BoxRecord, State, look};
use crate::volumes::Volumes;
use a3s_box_core::{BoxError, BoxId, ErrorKind, EventKind, Result};
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Removes the box that `name` means, its disk and its logs. With `force` a live one is ended first.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for a live one without `force`.
    pub async fn rm(&self, name: &str, force: bool) -> Result<()> {
        let id = {
            let state = State::read(&self.home)?;
            state.find(name)?.id.clone()
        };
        if force {
            self.stop(id.as_str(), Duration::ZERO).await?;
        }
        let mut state = State::write(&self.home)?;
        let record = state.find(id.as_str())?.clone();
        self.remove(&mut state, &record)
    }

    /// Removes the spent boxes and the folders that no box owns. Every command that changes boxes begins so.
    pub(super) fn sweep(&self, state: &mut State) -> Result<()> {
        let candidates: Vec<BoxRecord> =
            state.records().values().filter(|r| r.config.auto_remove).cloned().collect();
        for record in candidates {
            if look(&self.home, &record)?.is_spent(&record) {
                self.remove(state, &record)?;
            }
        }
        let boxes = self.home.boxes();
        let failed = |e| BoxError::io(format!("cannot read {}", boxes.display()), e);
        let known: HashSet<&str> = state.records().keys().map(BoxId::as_str).collect();
        for entry in std::fs::read_dir(&boxes).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
                remove_folder(&entry.path())?;
            }
        }
        let records = state.records();
        Networks::of(&self.home).sweep(|network, name| {
            records.values().any(|r| r.name == *name && r.config.network.networks.contains(network))
        })?;
        Volumes::of(&self.home).sweep()?;
        a3s_box_files::sweep(self.home.path())
            .and_then(|()| a3s_box_files::sweep(&self.home.disks()))
            .map_err(|e| BoxError::io(format!("cannot tidy {}", self.home.path().display()), e))
    }

    /// Removes one box that does not run. The record goes first: a folder without one is swept later.
    pub(super) fn remove(&self, state: &mut State, record: &BoxRecord) -> Result<()> {
        let seen = look(&self.home, record)?;
        if seen.state.is_live() {
            return Err(wrong_state(&record.name, seen.state, "stop it first, or remove it with `rm -f`"));
        }
        // A shim that has written its end has nothing more to do in the folder; one that was killed may have
        // left its VMM.
        if let Some(vmm) = seen.of_this_boot().and_then(|status| status.vmm) {
            host::kill(vmm, PATIENCE);
        }
        let folder = self.home.folder(&record.id);
        match state.change(|records| drop(records.remove(&record.id))) {
            // What is to make room must not need any: the folder goes first, and a record without one is told as that.
            Err(error) if error.kind() == ErrorKind::OutOfSpace => {
                remove_folder(folder.path())?;
                state.change(|records| drop(records.remove(&record.id)))?;
            }
            other => other?,
        }
        seen.note_cut_short(state, &self.home, record);
        state.tell(event(record, EventKind::Removed, &[]));
        Networks::of(&self.home).leave_all(&record.config.network.networks, &record.name)?;
        remove_folder(folder.path())
    }
}

fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(BoxError::io(format!("cannot remove {}", path.display()), e))
        }
        _ => Ok(()),
    }
}
