//! `inspect`: all that is known of a box.

use super::{Engine, port};
use crate::Home;
use crate::state::{BoxRecord, Look};
use a3s_box_core::{BoxState, PortMapping, Result, RunStatus};
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
    /// Where its published ports are, while it runs.
    pub ports: Vec<PortMapping>,
}

impl BoxView {
    pub(super) fn new(home: &Home, record: BoxRecord, seen: Look) -> Self {
        // Asking for a file is spared where there is none; a damaged one says as little as a missing one.
        let published = seen.state.is_live() && !record.config.network.publish.is_empty();
        let ports =
            if published { port::bound(&home.folder(&record.id)).unwrap_or_default() } else { Vec::new() };
        Self { record, state: seen.state, run: seen.status, ports }
    }
}

impl Engine {
    /// The box that `name` means.
    ///
    /// # Errors
    /// `NotFound` for no such box, `InvalidInput` for a prefix that several have.
    pub fn inspect(&self, name: &str) -> Result<BoxView> {
        let (record, seen) = self.see(name)?;
        Ok(BoxView::new(&self.home, record, seen))
    }
}
