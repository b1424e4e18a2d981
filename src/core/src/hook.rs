//! Lifecycle hooks: programs of the user's that are told what happens to a box.

use crate::EventKind;
use serde::{Deserialize, Serialize};

/// A program that is run when something happens. It reads the event as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// What it is run for.
    pub on: Vec<EventKind>,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// Milliseconds it may take before it is killed, and has failed.
    pub timeout_ms: u64,
    /// Whether the box must not go on where it fails.
    pub required: bool,
}
