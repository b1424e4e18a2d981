//! The event log, as commands write and read it.

use crate::state::{BoxRecord, State};
use crate::sys::Watch;
use crate::{Home, host};
use a3s_box_core::{BoxEvent, EventKind, RunExit, event_labels};
use a3s_box_events::{Teller, files};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// A line longer than this is none of ours.
const MAX_LINE: usize = 1 << 20;

/// An event of `record`'s, that happens now.
pub(crate) fn event(record: &BoxRecord, kind: EventKind, attributes: &[(&str, String)]) -> BoxEvent {
    BoxEvent {
        time: host::now(),
        event: kind,
        id: record.id.clone(),
        name: record.name.clone(),
        image: record.config.image.clone(),
        labels: event_labels(&record.labels),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Writes an event down that no hook is for.
pub(crate) fn note(home: &Home, record: &BoxRecord, kind: EventKind, attributes: &[(&str, String)]) {
    Teller { log: home.events(), hooks: Vec::new() }.note(&event(record, kind, attributes));
}

/// Writes down the end of a run whose shim did not live to do so.
pub(crate) fn note_cut_short(state: &State, home: &Home, record: &BoxRecord, exit: &RunExit) {
    let attributes = [("exit_code", exit.code.to_string()), ("reason", exit.reason.to_string())];
    note(home, record, EventKind::Died, &attributes);
    state.tell(event(record, EventKind::Stopped, &attributes));
}

/// A place in the log.
pub(crate) struct Reader {
    files: [PathBuf; 2],
    /// The file being read, its inode, and how far it was read.
    current: Option<(File, u64, u64)>,
    watch: Watch,
}

impl Reader {
    /// The begin of the log.
    pub(crate) fn open(home: &Home) -> io::Result<Self> {
        // Watched before it is read: what is written meanwhile is then seen.
        let watch = Watch::folder(home.path())?;
        let files = files(&home.events());
        let current = open(&files[0])?;
        Ok(Self { files, current, watch })
    }

    /// Every whole event up to the end.
    pub(crate) fn read(&mut self) -> io::Result<Vec<BoxEvent>> {
        let mut events = Vec::new();
        loop {
            if let Some((file, _, at)) = &mut self.current {
                let mut bytes = Vec::new();
                let mut from = Positioned { file, at: *at };
                from.read_to_end(&mut bytes)?;
                let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
                *at += whole as u64;
                let lines = bytes[..whole].split(|b| *b == b'\n').filter(|line| line.len() < MAX_LINE);
                // One that a power cut damaged is passed over.
                events.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
            }
            match open(&self.files[1])? {
                Some(next) if self.current.as_ref().map(|(_, inode, _)| *inode) != Some(next.1) => {
                    self.current = Some(next);
                }
                _ => return Ok(events),
            }
        }
    }

    /// Waits until something was added, or until `deadline`, in microseconds since the UNIX epoch. Whether it may be
    /// worth while to read on.
    pub(crate) fn wait(&self, deadline: Option<u64>) -> io::Result<bool> {
        let left = deadline.map(|deadline| deadline.saturating_sub(host::now()));
        if left == Some(0) {
            return Ok(false);
        }
        // The minute only bounds what a lost event could cost.
        let micros = i64::try_from(left.unwrap_or(60_000_000).min(60_000_000)).unwrap_or(0);
        let timeout = Timespec { tv_sec: micros / 1_000_000, tv_nsec: micros % 1_000_000 * 1000 };
        poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&timeout))?;
        self.watch.clear();
        Ok(true)
    }
}

/// A file from some place on.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn open(path: &std::path::Path) -> io::Result<Option<(File, u64, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode, 0)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_through_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let line = |n: u64| {
            format!(r#"{{"time":{n},"event":"died","id":"{}","name":"x","image":"x"}}"#, "ab".repeat(16))
        };
        let append = |n: u64| a3s_box_events::append(&home.events(), 400, line(n).as_bytes()).unwrap();
        let times = |events: Vec<BoxEvent>| events.iter().map(|event| event.time).collect::<Vec<_>>();
        let mut reader = Reader::open(&home).unwrap();
        assert!(reader.read().unwrap().is_empty());
        append(1);
        append(2);
        assert!(reader.wait(None).unwrap());
        assert_eq!(times(reader.read().unwrap()), [1, 2]);
        std::fs::write(home.path().join("half"), "").unwrap();
        for n in 3..=5 {
            append(n);
        }
        assert_eq!(times(reader.read().unwrap()), [3, 4, 5], "one was in the file that was full");
        assert!(!reader.wait(Some(1)).unwrap());
    }
}
