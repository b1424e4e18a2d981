//! `hook`: posts the event that it reads to the URL of a hook. Hooks are run; people have no use for it.

use a3s_box_core::{BoxError, Result};
use a3s_box_runtime::Engine;
use clap::Args;
use std::io::Read;

/// An event is shorter.
const MAX_EVENT: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct Hook {
    /// The hook's place in config.toml, from 0
    at: usize,
}

impl Hook {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut event = Vec::new();
        std::io::stdin()
            .lock()
            .take(MAX_EVENT)
            .read_to_end(&mut event)
            .map_err(|e| BoxError::io("cannot read the event", e))?;
        engine.hook(self.at, &event).map(|()| 0)
    }
}
