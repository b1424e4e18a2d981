//! `inspect`: all that is known of a box.

use super::Engine;
use crate::state::{BoxRecord, Look, State, look};
use a3s_box_core::{BoxState, Result, RunStatus};
use serde::Serialize;

/// A box: what it is, and what it did at the moment of looking.
#[derive(Debug, Clone, Serialize)]
pub struct BoxView {
    /// What it is.
    #[serde(flatten)]
    pub record: BoxRecord,
    /// The state it is in.
    pub state: BoxState,
    /// The present or last run, where there was one.
    pub run: Option<RunStatus>,
}

impl BoxView {
    pub(super) fn new(record: BoxRecord, seen: Look) -> Self {
        Self { record, state: seen.state, run: seen.status }
    }
}

impl Engine {
    /// The box that `name` means.
    ///
    /// # Errors
    /// `NotFound` for no such box, `InvalidInput` for a prefix that several have.
    pub fn inspect(&self, name: &str) -> Result<BoxView> {
        let state = State::read(&self.home)?;
        let record = state.find(name)?.clone();
        let seen = look(&self.home, &record)?;
        Ok(BoxView::new(record, seen))
    }
}
