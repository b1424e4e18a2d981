//! `rename`: gives a box another name.

use super::create::vacant;
use super::{Engine, wrong_state};
use crate::networks::Networks;
use crate::state::{State, look};
use a3s_box_core::{BoxName, Result};

impl Engine {
    /// Calls the box that `name` means `new`. It may run meanwhile, unless others find it on a network by its name.
    ///
    /// # Errors
    /// `NotFound` for no such box, `AlreadyExists` for a name that another box has, `WrongState` for a box that runs
    /// on a network.
    pub fn rename(&self, name: &str, new: BoxName) -> Result<()> {
        let mut state = State::write(&self.home)?;
        let record = state.find(name)?.clone();
        let id = record.id.clone();
        let new = vacant(state.records(), new)?;
        let seen = look(&self.home, &record)?;
        let networks = &record.config.network.networks;
        if seen.state.is_live() && !networks.is_empty() {
            return Err(wrong_state(&record.name, seen.state, "stop it first: others know it by its name"));
        }
        // It gets a place under its new name when it is started.
        Networks::of(&self.home).leave_all(networks, &record.name)?;
        state.change(|records| {
            if let Some(record) = records.get_mut(&id) {
                record.name = new;
            }
        })
    }
}
