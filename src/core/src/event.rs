//! What happens to boxes, as the event log tells it.

use crate::{BoxError, BoxId, BoxName, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A box was made.
    Created,
    /// It was started: its MicroVM is about to boot.
    Started,
    /// Its container process runs.
    Ready,
    /// Its health is another now.
    Health,
    /// It stands still.
    Paused,
    /// It goes on.
    Unpaused,
    /// Somebody sent a signal to its container process.
    Killed,
    /// Its guest ran out of memory, and its container process was killed for it.
    Oom,
    /// A run ended.
    Died,
    /// Its restart policy starts it again.
    Restarted,
    /// It is down and stays down.
    Stopped,
    /// It has another name now.
    Renamed,
    /// What holds for it was changed.
    Updated,
    /// It is no more.
    Removed,
}

const NAMES: [(EventKind, &str, &str); 14] = [
    (EventKind::Created, "created", "create"),
    (EventKind::Started, "started", "start"),
    (EventKind::Ready, "ready", "ready"),
    (EventKind::Health, "health", "health_status"),
    (EventKind::Paused, "paused", "pause"),
    (EventKind::Unpaused, "unpaused", "unpause"),
    (EventKind::Killed, "killed", "kill"),
    (EventKind::Oom, "oom", "oom"),
    (EventKind::Died, "died", "die"),
    (EventKind::Restarted, "restarted", "restart"),
    (EventKind::Stopped, "stopped", "stop"),
    (EventKind::Renamed, "renamed", "rename"),
    (EventKind::Updated, "updated", "update"),
    (EventKind::Removed, "removed", "destroy"),
];

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(kind, ..)| kind == self).map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for EventKind {
    type Err = BoxError;

    /// By our name, or by Docker's.
    fn from_str(text: &str) -> Result<Self> {
        NAMES
            .iter()
            .find(|(_, name, dockers)| [*name, *dockers].contains(&text))
            .map(|(kind, ..)| *kind)
            .ok_or_else(|| {
                let names: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).collect();
                BoxError::new(ErrorKind::InvalidInput, format!("unknown event {text:?}"))
                    .with_hint(format!("choose one of: {}", names.join(" ")))
            })
    }
}

/// One event: a line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxEvent {
    /// When, in microseconds since the UNIX epoch.
    pub time: u64,
    /// What.
    pub event: EventKind,
    /// The box.
    pub id: BoxId,
    /// What it was called then.
    pub name: BoxName,
    /// Its image, as it was typed.
    pub image: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What else there is to say: an exit code and its reason, a signal, a former name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// The bytes of labels that an event tells; an image may have megabytes.
const MAX_LABELS: usize = 8 << 10;

/// As many of `labels` as an event tells.
pub fn event_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut room = MAX_LABELS;
    let fits = |(key, value): &(&String, &String)| {
        let size = key.len() + value.len();
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        fits
    };
    labels.iter().filter(fits).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_short_whatever_an_image_is_labelled() {
        let labels = [("a", 10), ("b", 1 << 20), ("c", 8000), ("d", 1000), ("e", 50)];
        let labels = labels.map(|(key, length)| (key.to_owned(), "x".repeat(length))).into();
        assert_eq!(event_labels(&labels).into_keys().collect::<Vec<_>>(), ["a", "c", "e"]);
    }

    #[test]
    fn every_event_reads_and_prints_alike() {
        for (kind, name, dockers) in NAMES {
            assert_eq!(kind.to_string(), name);
            assert_eq!(name.parse::<EventKind>().unwrap(), kind);
            assert_eq!(dockers.parse::<EventKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{name}\""));
        }
        assert!("explode".parse::<EventKind>().is_err());
    }
}
