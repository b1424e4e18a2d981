//! `logs`: what the container process wrote, as the shim kept it.

use super::Engine;
use crate::log::{Cursor, Sink};
use crate::state::State;
use a3s_box_core::{BoxError, LogRecord, Result};
use std::collections::VecDeque;
use std::io;

impl Engine {
    /// Hands the log of the box that `name` means to `sink`, oldest first: all of it, or what makes up the last
    /// `tail` lines. With `follow` it goes on until the run ends.
    ///
    /// # Errors
    /// `NotFound` for no such box, those of reading the log, and those of `sink`.
    pub fn logs(
        &self,
        name: &str,
        tail: Option<usize>,
        follow: bool,
        sink: Sink<'_, LogRecord>,
    ) -> Result<()> {
        let record = State::read(&self.home)?.find(name)?.clone();
        let folder = self.home.folder(&record.id);
        let mut read = || -> io::Result<()> {
            let mut cursor = Cursor::new(folder.logs(), &folder);
            let watch = if follow { Some(cursor.watch()?) } else { None };
            match tail {
                None => cursor.read(sink)?,
                Some(lines) => last(&mut cursor, lines, sink)?,
            }
            watch.map_or(Ok(()), |watch| cursor.follow(&watch, sink))
        };
        read().map_err(|e| BoxError::io(format!("cannot read the log of box {}", record.name), e))
    }
}

/// Hands over what makes up the last `lines` lines.
fn last(cursor: &mut Cursor<LogRecord>, lines: usize, sink: Sink<'_, LogRecord>) -> io::Result<()> {
    let mut kept: VecDeque<(LogRecord, usize)> = VecDeque::new();
    let mut total = 0;
    let mut open_line = false;
    cursor.read(&mut |record| {
        let bytes = record.bytes().unwrap_or_default();
        let ends = bytes.iter().filter(|b| **b == b'\n').count();
        open_line = !bytes.ends_with(b"\n");
        total += ends;
        kept.push_back((record.clone(), ends));
        while kept.front().is_some_and(|(_, first)| total - first > lines) {
            total -= kept.pop_front().map_or(0, |(_, first)| first);
        }
        Ok(())
    })?;
    let mut surplus = (total + usize::from(open_line)).saturating_sub(lines);
    for (record, _) in kept {
        let bytes = record.bytes().unwrap_or_default();
        let mut rest = &bytes[..];
        while surplus > 0 {
            let Some(end) = rest.iter().position(|b| *b == b'\n') else { break };
            rest = &rest[end + 1..];
            surplus -= 1;
        }
        if surplus == 0 && lines > 0 && !rest.is_empty() {
            sink(&LogRecord::new(record.time, record.stream, rest))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
