//! `doctor`: what is wrong with this host, and what to do about it.

use super::Engine;
use crate::preflight::{self, Check, Facts, Health};
use a3s_box_core::{BoxError, Result};
use std::os::unix::fs::PermissionsExt;

impl Engine {
    /// Looks at everything that boxes need. With `fix` what can be put right without harm is: the host is
    /// probed anew, the state directory is closed to other users, and what crashes left behind is removed.
    ///
    /// # Errors
    /// Those of the shim and of putting things right. What is wrong with the host is told, not an error.
    pub fn doctor(&self, fix: bool) -> Result<Vec<Check>> {
        if fix {
            preflight::forget(&self.home)?;
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(self.home.path(), private).map_err(|e| {
                BoxError::io(format!("cannot close {} to other users", self.home.path().display()), e)
            })?;
            self.sweep(&mut crate::state::State::write(&self.home)?)?;
        }
        Ok(preflight::checks(&self.home, &Facts::gather(&self.home)?))
    }
}

impl Check {
    /// Whether something is to be done.
    pub fn is_well(&self) -> bool {
        self.health == Health::Well
    }
}
