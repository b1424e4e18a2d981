//! `rename`: gives a box another name.

use super::create::vacant;
use super::{Engine, wrong_state};
use crate::events::event;
use crate::networks::Networks;
use crate::state::{BoxRecord, State, look};
use a3s_box_core::{BoxName, EventKind, Result};

impl Engine {
    /// Calls the box that `name` means `new`. It may run meanwhile, unless others find it on a network by its name.
    ///
    /// # Errors
    /// `NotFound` for no such box, `AlreadyExists` for a name that another box has, `WrongState` for a box that runs
    /// on a network.
    pub async fn rename(&self, name: &str, new: BoxName) -> Result<()> {
        let (record, live) = self.give_name(name, new)?;
        if live { self.tell_shim(&record).await } else { Ok(()) }
    }

    /// The box with its new name, and whether it is live.
    fn give_name(&self, name: &str, new: BoxName) -> Result<(BoxRecord, bool)> {
        let mut state = State::write(&self.home)?;
        let mut record = state.find(name)?.clone();
        let new = vacant(state.records(), new)?;
        let seen = look(&self.home, &record)?;
        let networks = &record.config.network.networks;
        if seen.state.is_live() && !networks.is_empty() {
            return Err(wrong_state(&record.name, seen.state, "stop it first: others know it by its name"));
        }
        // It gets a place under its new name when it is started.
        Networks::of(&self.home).leave_all(networks, &record.name)?;
        let old = std::mem::replace(&mut record.name, new);
        let renamed = record.clone();
        state.change(|records| drop(records.insert(renamed.id.clone(), renamed)))?;
        state.tell(event(&record, EventKind::Renamed, &[("old_name", old.to_string())]));
        Ok((record, seen.state.is_live()))
    }
}
