//! `rmi`: removes images.

use super::Engine;
use super::image::in_use;
use crate::state::State;
use a3s_box_core::Result;
use a3s_box_image::Removed;

impl Engine {
    /// Removes the image name `name`, and with its last name the image. With `force` an id takes all names with it,
    /// and an image that boxes use loses its last name; it stays for them until they are gone.
    ///
    /// # Errors
    /// `NotFound` for no such image, `WrongState` where a box, even a stopped one, needs it.
    pub fn rmi(&self, name: &str, force: bool) -> Result<Removed> {
        // Held while the image goes: no box can be made of it in between.
        let state = State::write(&self.home)?;
        Ok(self.store()?.remove(name, force, &in_use(&state).images, &self.rootfs()?)?)
    }
}
