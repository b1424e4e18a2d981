//! `unpause`: lets a box go on that stands still.

use super::Engine;
use a3s_box_core::Result;

impl Engine {
    /// Lets the paused box that `name` means go on. Its clock is put right.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not stand still.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.stand_still(name, false).await
    }
}
