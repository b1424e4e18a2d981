//! `port`: where the published ports of a box are.

use super::Engine;
use crate::home::BoxFolder;
use a3s_box_core::{BoxError, PortMapping, Result};
use std::io::{self, Read};

/// A list longer than this is none: ports are no more than 65,536 twice.
const MAX_PORTS: u64 = 16 << 20;

impl Engine {
    /// The published ports of the running box that `name` means, as its shim has bound them.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run.
    pub fn ports(&self, name: &str) -> Result<Vec<PortMapping>> {
        let record = self.live(name)?;
        bound(&self.home.folder(&record.id))
            .map_err(|e| BoxError::io(format!("cannot read the ports of box {}", record.name), e))
    }
}

/// The ports that the shim of a box has bound; none before it has.
pub(super) fn bound(folder: &BoxFolder) -> io::Result<Vec<PortMapping>> {
    let mut json = Vec::new();
    match std::fs::File::open(folder.ports()).and_then(|file| file.take(MAX_PORTS).read_to_end(&mut json)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    Ok(serde_json::from_slice(&json)?)
}
