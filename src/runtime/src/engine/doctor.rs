//! `doctor`: what is wrong with this host and with what we keep on it, and what to do about it.

use super::Engine;
use crate::leftovers::{self, Leftover};
use crate::preflight::{self, Check, Facts, Health};
use crate::state::State;
use a3s_box_core::{BoxError, Result};
use serde::Serialize;
use std::os::unix::fs::PermissionsExt;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The host, thing by thing.
    pub checks: Vec<Check>,
    /// What belongs to no box.
    pub leftovers: Vec<Leftover>,
}

impl Engine {
    /// Looks at everything that boxes need, and at everything under the state directory that belongs to none. With
    /// `repair` what can be put right without harm is: the host is probed anew, the state directory is closed to other
    /// users, and what belongs to nobody is removed.
    ///
    /// # Errors
    /// Those of the shim and of putting things right. What is wrong with the host is told, not an error.
    pub fn doctor(&self, repair: bool) -> Result<Diagnosis> {
        if repair {
            preflight::forget(&self.home)?;
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(self.home.path(), private).map_err(|e| {
                BoxError::io(format!("cannot close {} to other users", self.home.path().display()), e)
            })?;
        }
        let mut checks = preflight::checks(&self.home, &Facts::gather(&self.home)?);
        let state = if repair { State::write(&self.home) } else { State::read(&self.home) };
        let leftovers = match state {
            Ok(mut state) => self.take_stock(&mut state, repair)?,
            // What belongs to which box cannot be told.
            Err(error) => {
                checks.push(Check::state(&error));
                Vec::new()
            }
        };
        Ok(Diagnosis { checks, leftovers })
    }

    fn take_stock(&self, state: &mut State, repair: bool) -> Result<Vec<Leftover>> {
        let mut found = leftovers::find(&self.home, state)?;
        if repair {
            leftovers::remove(&self.home, &mut found, |record| self.remove(state, record));
        }
        Ok(found)
    }
}

impl Check {
    /// Whether something is to be done.
    pub fn is_well(&self) -> bool {
        self.health == Health::Well
    }
}
