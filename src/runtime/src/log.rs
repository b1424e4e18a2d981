//! Logs of JSON records, an object a line, as a shim writes them: two files, of which the older is what the newer was
//! before it grew too long.

use crate::home::BoxFolder;
use a3s_box_core::{HostProcess, RunStatus};
use a3s_box_files::Lock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A line of a log is not read past this; the shim writes far shorter ones.
const MAX_LINE: u64 = 1 << 20;

/// What takes the records, one by one. Its error ends the reading.
pub(crate) type Sink<'a, T> = &'a mut dyn FnMut(&T) -> io::Result<()>;

/// A place in a log of records `T`.
pub(crate) struct Cursor<T> {
    /// The two files, the older first.
    files: [PathBuf; 2],
    folder: BoxFolder,
    /// The file being read, and its inode.
    current: Option<(BufReader<File>, u64)>,
    /// The part of a record that has been written so far.
    partial: Vec<u8>,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Cursor<T> {
    /// The begin of the log in `files`, which belongs to the box of `folder`.
    pub(crate) fn new(files: [PathBuf; 2], folder: &BoxFolder) -> Self {
        let current = open(&files[0]).ok().flatten();
        Self { files, folder: folder.clone(), current, partial: Vec::new(), of: PhantomData }
    }

    /// Hands over every whole record up to the end.
    pub(crate) fn read(&mut self, sink: Sink<'_, T>) -> io::Result<()> {
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
            match open(&self.files[1])? {
                Some((reader, inode)) if self.current.as_ref().map(|(_, i)| *i) != Some(inode) => {
                    self.current = Some((reader, inode));
                    self.partial.clear();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Hands over what is added, until the run is over.
    pub(crate) fn follow(&mut self, watch: &OwnedFd, sink: Sink<'_, T>) -> io::Result<()> {
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
            Some(status) if status.exit.is_some() && status.restart_at.is_none() => None,
            Some(status) => Some(status.shim),
            None => crate::host::myself(),
        })
    }

    /// What tells of changes in the box's folder: of the log, and of the status.
    pub(crate) fn watch(&self) -> io::Result<OwnedFd> {
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
