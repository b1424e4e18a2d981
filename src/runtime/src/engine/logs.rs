//! `logs`: what the container process wrote, as the shim kept it.

use super::{Engine, jobs, now};
use crate::home::BoxFolder;
use crate::log::{Cursor, Runs, Sink};
use crate::state::State;
use a3s_box_core::{BoxError, JOB_LOG, JobName, JobRecord, LogConfig, LogRecord, Result};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Which part of a log is wanted. Times are microseconds since the UNIX epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogRange {
    /// Only what makes up so many lines at the end.
    pub tail: Option<usize>,
    /// Only what was written at this time or later.
    pub since: Option<u64>,
    /// Only what was written up to this time.
    pub until: Option<u64>,
    /// What is written from now on, too, until the run ends.
    pub follow: bool,
}

impl Engine {
    /// Hands `range` of the log of the box that `name` means to `sink`, oldest first.
    ///
    /// # Errors
    /// `NotFound` for no such box, those of reading the log, and those of `sink`.
    pub fn logs(&self, name: &str, range: LogRange, sink: Sink<'_, LogRecord>) -> Result<()> {
        let record = State::read(&self.home)?.find(name)?.clone();
        let folder = self.home.folder(&record.id);
        show(&folder, "log", record.config.log, &|| Ok(true), range, sink)
            .map_err(|e| BoxError::io(format!("cannot read the log of box {}", record.name), e))
    }

    /// Hands `range` of what a job wrote to `sink`, oldest first.
    ///
    /// # Errors
    /// As [`Engine::logs`].
    pub fn job_logs(&self, job: &JobName, range: LogRange, sink: Sink<'_, LogRecord>) -> Result<()> {
        let (record, _) = self.job(job)?;
        let folder = self.home.folder(&record.id);
        let runs = || Ok(jobs::read(folder.path(), job.number)?.is_some_and(|job| job.exit.is_none()));
        show(&folder, &JobRecord::stem(job.number), JOB_LOG, &runs, range, sink)
            .map_err(|e| BoxError::io(format!("cannot read the log of {}", jobs::of(job)), e))
    }
}

/// Hands `range` of the log `stem` in a box's folder to `sink`; what `runs` says of its writer counts while the box runs.
fn show(
    folder: &BoxFolder,
    stem: &str,
    config: LogConfig,
    runs: Runs<'_>,
    range: LogRange,
    sink: Sink<'_, LogRecord>,
) -> io::Result<()> {
    let mut cursor = Cursor::new(folder.logs(stem, config), folder);
    let watch = if range.follow { Some(cursor.watch()?) } else { None };
    // The sink's own error, too, looks like this one.
    let mut over = false;
    let wanted: Sink<'_, LogRecord> = &mut |record: &LogRecord| {
        if range.until.is_some_and(|until| record.time > until) {
            over = true;
            return Err(io::ErrorKind::Other.into());
        }
        if range.since.is_some_and(|since| record.time < since) { Ok(()) } else { sink(record) }
    };
    let shown = match range.tail {
        None => cursor.read(&mut *wanted),
        Some(lines) => last(&mut cursor, lines, &range, &mut *wanted),
    };
    let shown = shown.and_then(|()| match watch {
        None => Ok(()),
        Some(watch) => {
            let left = range.until.map(|until| Duration::from_micros(until.saturating_sub(now())));
            let deadline = left.map(|left| Instant::now() + left);
            cursor.follow(&watch, runs, deadline, wanted)
        }
    });
    if over { Ok(()) } else { shown }
}

/// Hands over what makes up the last `lines` lines of `range`.
fn last(
    cursor: &mut Cursor<LogRecord>,
    lines: usize,
    range: &LogRange,
    sink: Sink<'_, LogRecord>,
) -> io::Result<()> {
    let ends =
        |record: &LogRecord| record.bytes().unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
    // Lines end where others begin: one more makes sure that the first is whole.
    let mut found = 0;
    cursor.seek_back(|record| {
        if range.since.is_some_and(|since| record.time < since) || found > lines {
            return true;
        }
        if range.until.is_none_or(|until| record.time <= until) {
            found += ends(record);
        }
        false
    })?;
    let mut kept: VecDeque<(LogRecord, usize)> = VecDeque::new();
    let mut total = 0;
    let mut open_line = false;
    cursor.read(&mut |record| {
        let outside = range.since.is_some_and(|since| record.time < since)
            || range.until.is_some_and(|until| record.time > until);
        if outside {
            return Ok(());
        }
        let bytes = record.bytes().unwrap_or_default();
        let ends = ends(record);
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
