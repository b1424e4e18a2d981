//! `rename`: gives a box another name.

use super::Engine;
use super::create::vacant;
use crate::state::State;
use a3s_box_core::{BoxName, Result};

impl Engine {
    /// Calls the box that `name` means `new`. It may run meanwhile.
    ///
    /// # Errors
    /// `NotFound` for no such box, `AlreadyExists` for a name that another box has.
    pub fn rename(&self, name: &str, new: BoxName) -> Result<()> {
        let mut state = State::write(&self.home)?;
        let id = state.find(name)?.id.clone();
        let new = vacant(state.records(), new)?;
        state.change(|records| {
            if let Some(record) = records.get_mut(&id) {
                record.name = new;
            }
        })
    }
}
