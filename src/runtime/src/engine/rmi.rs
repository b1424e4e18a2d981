//! `rmi`: removes images.

use super::Engine;
use crate::state::State;
use a3s_box_core::Result;
use a3s_box_image::{Digest, Removed};
use std::collections::HashSet;

impl Engine {
    /// Removes the image name `name`, and with its last name the image.
    ///
    /// # Errors
    /// `NotFound` for no such image, `WrongState` where a box, even a stopped one, needs it.
    pub fn rmi(&self, name: &str) -> Result<Removed> {
        // Held while the image goes: no box can be made of it in between.
        let state = State::write(&self.home)?;
        let in_use: HashSet<Digest> =
            state.records().values().filter_map(|r| r.image.digest.parse().ok()).collect();
        Ok(self.store()?.remove(name, &in_use, &self.rootfs()?)?)
    }
}
