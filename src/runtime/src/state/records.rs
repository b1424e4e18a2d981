//! Reading and writing `boxes.json` under its lock.

use super::BoxRecord;
use crate::Home;
use crate::settings::Settings;
use a3s_box_core::{BoxError, BoxEvent, BoxId, ErrorKind, Result, did_you_mean};
use a3s_box_events::Teller;
use a3s_box_files::{Lock, Scratch};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;
use std::time::Duration;

/// The version of `boxes.json` that this program writes.
const SCHEMA: u32 = 1;
/// How long a command waits for others that are changing the state; each holds the lock for milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// All boxes, by id.
pub(crate) type Records = BTreeMap<BoxId, BoxRecord>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    boxes: Records,
}

/// The state as one command sees it: nobody changes it while this is held, but for the shims their own part.
#[derive(Debug)]
pub(crate) struct State {
    home: Home,
    records: Records,
    lock: Option<Lock>,
    /// What hooks are to hear of once others may work with the state again.
    told: RefCell<Vec<BoxEvent>>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.lock = None;
        for event in self.told.take() {
            if let Err(error) = self.teller().and_then(|teller| {
                teller.run_hooks(&event).map_err(|why| BoxError::new(ErrorKind::Unavailable, why))
            }) {
                tracing::warn!(%error, "a hook failed");
            }
        }
    }
}

impl State {
    /// The state, for looking only; others may look at the same time.
    pub(crate) fn read(home: &Home) -> Result<Self> {
        Self::locked(home, Lock::shared(&home.lock(), PATIENCE))
    }

    /// The state, for changing it.
    pub(crate) fn write(home: &Home) -> Result<Self> {
        Self::locked(home, Lock::exclusive(&home.lock(), PATIENCE))
    }

    fn locked(home: &Home, lock: io::Result<Lock>) -> Result<Self> {
        let lock = lock.map_err(|e| {
            let held = e.kind() == io::ErrorKind::TimedOut;
            let error = BoxError::io(format!("cannot lock {}", home.lock().display()), e);
            if held {
                error.with_hint("another a3s-box command holds it; see which with `fuser`")
            } else {
                error
            }
        })?;
        Ok(Self { home: home.clone(), records: load(home)?, lock: Some(lock), told: RefCell::default() })
    }

    /// Writes an event down, and tells the hooks of it when the state is let go.
    pub(crate) fn tell(&self, event: BoxEvent) {
        Teller { log: self.home.events(), hooks: Vec::new() }.note(&event);
        self.told.borrow_mut().push(event);
    }

    fn teller(&self) -> Result<Teller> {
        let hooks = Settings::read(&self.home)?.hooks(&self.home)?;
        Ok(Teller { log: self.home.events(), hooks })
    }

    /// All boxes.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// The box that `text` names: a name, an id, or a prefix that only one id has.
    pub(crate) fn find(&self, text: &str) -> Result<&BoxRecord> {
        if let Some(record) = self.records.values().find(|r| r.name.as_str() == text || r.id.as_str() == text)
        {
            return Ok(record);
        }
        let mut matches =
            self.records.values().filter(|r| !text.is_empty() && r.id.as_str().starts_with(text));
        match (matches.next(), matches.next()) {
            (Some(record), None) => Ok(record),
            (Some(a), Some(b)) => Err(BoxError::new(
                ErrorKind::InvalidInput,
                format!("box {text:?} is ambiguous: {}, {} …", a.id.short(), b.id.short()),
            )
            .with_hint("give more digits of the id, or the name")),
            (None, _) => {
                let meant = did_you_mean(text, self.records.values().map(|record| record.name.as_str()));
                Err(BoxError::new(ErrorKind::NotFound, format!("no such box: {text}{meant}"))
                    .with_hint("see `a3s-box ps -a`"))
            }
        }
    }

    /// Adds or removes boxes and writes `boxes.json`: the old file or the new one, whatever happens.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Records)) -> Result<()> {
        change(&mut self.records);
        let file = File { schema: SCHEMA, boxes: std::mem::take(&mut self.records) };
        let path = self.home.records();
        let written =
            serde_json::to_vec(&file).map_err(io::Error::from).and_then(|json| Scratch::write(&path, &json));
        self.records = file.boxes;
        written.map_err(|e| {
            BoxError::io(format!("cannot write {}", path.display()), e)
                .with_hint("nothing was changed; free some space, or set A3S_HOME to another disk")
        })
    }
}

fn load(home: &Home) -> Result<Records> {
    let path = home.records();
    let json = match std::fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Records::new()),
        other => other.map_err(|e| BoxError::io(format!("cannot read {}", path.display()), e))?,
    };
    read(&path, &json).map_err(|error| back_up(&path, &json, error))
}

/// The records in `json`, which is what `path` holds.
fn read(path: &Path, json: &[u8]) -> Result<Records> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let damaged = |e: serde_json::Error| {
        BoxError::new(ErrorKind::Corrupt, format!("{} is damaged", path.display()))
            .caused_by(e)
            .with_hint("it was left as it is; move it away to begin anew, the boxes' folders stay")
    };
    // The version comes first: a newer file may well be of another shape.
    let version: Version = serde_json::from_slice(json).map_err(damaged)?;
    if version.schema != SCHEMA {
        return Err(BoxError::new(
            ErrorKind::Unsupported,
            format!("{} has schema {}, this a3s-box writes {SCHEMA}", path.display(), version.schema),
        )
        .with_hint("it was left as it is; use the newer a3s-box, or another A3S_HOME"));
    }
    let file: File = serde_json::from_slice(json).map_err(damaged)?;
    match file.boxes.iter().find(|(id, record)| **id != record.id) {
        Some((id, _)) => Err(BoxError::new(
            ErrorKind::Corrupt,
            format!("{} is damaged: the record of {id} is another box's", path.display()),
        )),
        None => Ok(file.boxes),
    }
}

/// Keeps a copy of a file that was refused, once for each that there is: whoever mends it may make it worse.
fn back_up(path: &Path, json: &[u8], error: BoxError) -> BoxError {
    let mut hasher = std::hash::DefaultHasher::new();
    json.hash(&mut hasher);
    let copy = path.with_file_name(format!("boxes.json.{:016x}.bak", hasher.finish()));
    if copy.exists() || Scratch::write(&copy, json).is_ok() {
        let hint = error.hint().map(|hint| format!("{hint}; ")).unwrap_or_default();
        return error.with_hint(format!("{hint}a copy is in {}", copy.display()));
    }
    error
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
