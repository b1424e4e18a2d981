//! `events`: what has happened to boxes, and what happens.

use super::{Engine, now};
use crate::events::Reader;
use crate::filter::{EventFilter, admits};
use a3s_box_core::{BoxError, BoxEvent, Result};
use std::io;

impl Engine {
    /// Hands `sink` the events that `filters` let through, from `since` on (from now on, where there is none) until
    /// `until`, for ever where there is none. Both are in microseconds since the UNIX epoch. The log reaches back some
    /// ten thousand events.
    ///
    /// # Errors
    /// Those of reading the log, and those of `sink`, which end the reading.
    pub fn events(
        &self,
        filters: &[EventFilter],
        since: Option<u64>,
        until: Option<u64>,
        sink: &mut dyn FnMut(&BoxEvent) -> io::Result<()>,
    ) -> Result<()> {
        let since = since.unwrap_or_else(now);
        let mut follow = || -> io::Result<()> {
            let mut reader = Reader::open(&self.home)?;
            loop {
                for event in reader.read()? {
                    let in_time = event.time >= since && until.is_none_or(|until| event.time <= until);
                    if in_time && admits(filters, &event) {
                        sink(&event)?;
                    }
                }
                if !reader.wait(until)? {
                    return Ok(());
                }
            }
        };
        follow().map_err(|e| BoxError::io(format!("cannot read {}", self.home.events().display()), e))
    }
}
