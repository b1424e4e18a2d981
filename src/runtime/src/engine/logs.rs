//! `logs`: what the container process wrote, as the shim kept it.

use super::Engine;
use crate::home::BoxFolder;
use crate::state::State;
use a3s_box_core::{BoxError, HostProcess, LogRecord, Result, RunStatus};
use a3s_box_files::Lock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// A line of the log is not read past this; the shim writes far shorter ones.
const MAX_LINE: u64 = 1 << 20;

/// What takes the records, one by one. Its error ends the reading.
type Sink<'a> = &'a mut dyn FnMut(&LogRecord) -> io::Result<()>;

impl Engine {
    /// Hands the log of the box that `name` means to `sink`, oldest first: all of it, or what makes up the last
    /// `tail` lines. With `follow` it goes on until the run ends.
    ///
    /// # Errors
    /// `NotFound` for no such box, those of reading the log, and those of `sink`.
    pub fn logs(&self, name: &str, tail: Option<usize>, follow: bool, sink: Sink<'_>) -> Result<()> {
        let record = State::read(&self.home)?.find(name)?.clone();
        let folder = self.home.folder(&record.id);
        let read = || -> io::Result<()> {
            let mut cursor = Cursor::new(folder);
            let watch = if follow { Some(cursor.watch()?) } else { None };
            match tail {
                None => cursor.read(sink)?,
                Some(lines) => cursor.tail(lines, sink)?,
            }
            watch.map_or(Ok(()), |watch| cursor.follow(&watch, sink))
        };
        read().map_err(|e| BoxError::io(format!("cannot read the log of box {}", record.name), e))
    }
}

/// A place in the log, which is two files: the older is what the newer was before it grew too long.
struct Cursor {
    folder: BoxFolder,
    /// The file being read, and its inode.
    current: Option<(BufReader<File>, u64)>,
    /// The part of a record that has been written so far.
    partial: Vec<u8>,
}

impl Cursor {
    fn new(folder: BoxFolder) -> Self {
        let [old, _] = folder.logs();
        let mut cursor = Self { folder, current: None, partial: Vec::new() };
        cursor.current = open(&old).ok().flatten();
        cursor
    }

    /// Hands over every whole record up to the end.
    fn read(&mut self, sink: Sink<'_>) -> io::Result<()> {
        loop {
            if let Some((reader, _)) = &mut self.current {
                loop {
                    let room = MAX_LINE.saturating_sub(self.partial.len() as u64);
                    let n = io::Read::take(&mut *reader, room).read_until(b'\n', &mut self.partial)?;
                    if self.partial.ends_with(b"\n") || self.partial.len() as u64 >= MAX_LINE {
                        // A line that a power cut damaged is passed over.
                        if let Ok(record) = serde_json::from_slice(&self.partial) {
                            sink(&record)?;
                        }
                        self.partial.clear();
                    } else if n == 0 {
                        break;
                    }
                }
            }
            let [_, new] = self.folder.logs();
            match open(&new)? {
                Some((reader, inode)) if self.current.as_ref().map(|(_, i)| *i) != Some(inode) => {
                    self.current = Some((reader, inode));
                    self.partial.clear();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Hands over what makes up the last `lines` lines.
    fn tail(&mut self, lines: usize, sink: Sink<'_>) -> io::Result<()> {
        let mut kept: VecDeque<(LogRecord, usize)> = VecDeque::new();
        let mut total = 0;
        let mut open_line = false;
        self.read(&mut |record| {
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

    /// Hands over what is added, until the run is over.
    fn follow(&mut self, watch: &OwnedFd, sink: Sink<'_>) -> io::Result<()> {
        loop {
            // Asked before reading: what was written before the end is then read after it.
            let shim = self.shim()?;
            self.read(sink)?;
            let Some(shim) = shim else { return Ok(()) };
            let pid = Pid::from_raw(shim.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            let mut fds = vec![PollFd::new(watch, PollFlags::IN)];
            fds.extend(pid.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            // Both ends of the wait are events; the minute only bounds what a lost one could cost.
            poll(&mut fds, Some(&Timespec { tv_sec: 60, tv_nsec: 0 }))?;
            let mut events = [std::mem::MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(watch, &mut events);
            while reader.next().is_ok() {}
        }
    }

    /// The shim, if the run is not over. A shim that has not yet written its status counts as this process.
    fn shim(&self) -> io::Result<Option<HostProcess>> {
        if !Lock::is_held(&self.folder.run_lock())? {
            return Ok(None);
        }
        let status: Option<RunStatus> =
            std::fs::read(self.folder.status()).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Ok(match status {
            Some(status) if status.exit.is_some() => None,
            Some(status) => Some(status.shim),
            None => crate::host::myself(),
        })
    }

    /// What tells of changes in the box's folder: of the log, and of the status.
    fn watch(&self) -> io::Result<OwnedFd> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let changes =
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
        inotify::add_watch(&watch, self.folder.path(), changes)?;
        Ok(watch)
    }
}

fn open(path: &std::path::Path) -> io::Result<Option<(BufReader<File>, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((BufReader::new(file), inode)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
