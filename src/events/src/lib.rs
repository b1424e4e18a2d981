//! What happens to boxes: the log of it, and the programs of the user's that are told.
//!
//! Owns how an event is written down by several processes at once, and how a hook is run. It decides nothing and
//! knows nothing of what boxes do; the runtime and the shims tell it. `events` reads the log.
#![forbid(unsafe_code)]

mod hook;
mod journal;

pub use journal::{append, files};

use a3s_box_core::{BoxEvent, Hook};
use std::path::PathBuf;

/// The log grows to this, then its older half goes: `events.jsonl` becomes `events.1.jsonl`.
const MAX_LOG: u64 = 4 << 20;

/// Where events go.
#[derive(Debug, Clone)]
pub struct Teller {
    /// The log.
    pub log: PathBuf,
    /// The programs that are told.
    pub hooks: Vec<Hook>,
}

impl Teller {
    /// Writes `event` down. That it cannot be written stops nobody.
    pub fn note(&self, event: &BoxEvent) {
        let written =
            serde_json::to_vec(event).map_err(Into::into).and_then(|line| append(&self.log, MAX_LOG, &line));
        if let Err(error) = written {
            tracing::warn!(%error, log = %self.log.display(), "an event could not be written down");
        }
    }

    /// Whether a program is to be told of `event`.
    pub fn has_hooks(&self, event: &BoxEvent) -> bool {
        self.hooks.iter().any(|hook| hook.on.contains(&event.event))
    }

    /// Tells the programs of `event`, one after the other, and waits for them.
    ///
    /// # Errors
    /// What kept a required one from succeeding; those after it are not run.
    pub fn run_hooks(&self, event: &BoxEvent) -> Result<(), String> {
        for hook in self.hooks.iter().filter(|hook| hook.on.contains(&event.event)) {
            let Err(error) = hook::run(hook, event) else { continue };
            if hook.required {
                return Err(error);
            }
            tracing::warn!(error, "a hook failed");
        }
        Ok(())
    }
}
