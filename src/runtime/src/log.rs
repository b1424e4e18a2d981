//! Logs of JSON records, an object a line, as a shim writes them: a few files, each of which is what the next newer one
//! was before it grew too long.

use crate::home::BoxFolder;
use crate::sys::Watch;
use a3s_box_core::{HostProcess, RunStatus};
use a3s_box_files::{Lock, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::marker::PhantomData;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A line of a log is not read past this; the shim writes far shorter ones.
const MAX_LINE: u64 = 1 << 20;
/// How much of a file is read at once, from its end.
const BLOCK: u64 = 64 << 10;
/// The longest wait for what is written next. Its ends are events; this only bounds what a lost one could cost.
const WAIT: Duration = Duration::from_secs(60);

/// What takes the records, one by one. Its error ends the reading.
pub(crate) type Sink<'a, T> = &'a mut dyn FnMut(&T) -> io::Result<()>;

/// Whether whoever writes a log still does. It is asked while the box runs.
pub(crate) type Runs<'a> = &'a dyn Fn() -> io::Result<bool>;

/// A place in a log of records `T`.
pub(crate) struct Cursor<T> {
    /// The oldest first.
    files: Vec<PathBuf>,
    folder: BoxFolder,
    /// The file being read, and its inode.
    current: Option<(BufReader<File>, u64)>,
    /// The part of a record that has been written so far.
    partial: Vec<u8>,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Cursor<T> {
    /// The begin of the log in `files`, the oldest first, which belongs to the box of `folder`.
    pub(crate) fn new(files: Vec<PathBuf>, folder: &BoxFolder) -> Self {
        Self { files, folder: folder.clone(), current: None, partial: Vec::new(), of: PhantomData }
    }

    /// Hands over every whole record up to the end.
    pub(crate) fn read(&mut self, sink: Sink<'_, T>) -> io::Result<()> {
        loop {
            self.read_current(sink)?;
            let Some(next) = self.next_file()? else { return Ok(()) };
            // What was written just before the file was put aside comes first.
            self.read_current(sink)?;
            self.current = Some(next);
            self.partial.clear();
        }
    }

    fn read_current(&mut self, sink: Sink<'_, T>) -> io::Result<()> {
        let Some((reader, _)) = &mut self.current else { return Ok(()) };
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
                return Ok(());
            }
        }
    }

    /// The file after the current one: the oldest, where that is gone.
    fn next_file(&self) -> io::Result<Option<(BufReader<File>, u64)>> {
        let there = self.open_all()?;
        let current = self.current.as_ref().map(|(_, inode)| *inode);
        let at = there.iter().position(|(_, inode)| Some(*inode) == current).map_or(0, |at| at + 1);
        Ok(there.into_iter().nth(at).map(|(file, inode)| (BufReader::new(file), inode)))
    }

    fn open_all(&self) -> io::Result<Vec<(File, u64)>> {
        self.files.iter().filter_map(|path| open(path).transpose()).collect()
    }

    /// Goes to the first of the records at the end that `enough` is not told of: it is asked of each, the newest first,
    /// whether those after it are enough.
    pub(crate) fn seek_back(&mut self, mut enough: impl FnMut(&T) -> bool) -> io::Result<()> {
        for (file, inode) in self.open_all()?.into_iter().rev() {
            let start =
                seek_back(&file, |line| serde_json::from_slice(line).is_ok_and(|record| enough(&record)))?;
            let mut reader = BufReader::new(file);
            reader.seek(SeekFrom::Start(start.unwrap_or(0)))?;
            self.current = Some((reader, inode));
            if start.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Hands over what is added, until the run is over, the writer has ended or, where there is one, the deadline has
    /// passed.
    pub(crate) fn follow(
        &mut self,
        watch: &Watch,
        runs: Runs<'_>,
        deadline: Option<Instant>,
        sink: Sink<'_, T>,
    ) -> io::Result<()> {
        loop {
            // Asked before reading: what was written before the end is then read after it.
            let shim = if runs()? { self.shim()? } else { None };
            self.read(sink)?;
            let Some(shim) = shim else { return Ok(()) };
            let end = Process::end_of(shim.pid).ok();
            let mut fds = vec![PollFd::new(watch, PollFlags::IN)];
            fds.extend(end.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let left = deadline.map_or(WAIT, |at| at.saturating_duration_since(Instant::now()).min(WAIT));
            if left.is_zero() {
                return Ok(());
            }
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            poll(&mut fds, Some(&left))?;
            watch.clear();
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
    pub(crate) fn watch(&self) -> io::Result<Watch> {
        Watch::folder(self.folder.path())
    }
}

/// Where the lines of `file` begin after the last one that is `enough`; none where none is. A line at the end that is
/// not whole yet counts as no line.
fn seek_back(file: &File, mut enough: impl FnMut(&[u8]) -> bool) -> io::Result<Option<u64>> {
    let mut start = file.metadata()?.len();
    // What was read, from `start` on, up to the end of the last line that was not asked about.
    let mut text: Vec<u8> = Vec::new();
    let mut whole = false;
    loop {
        while let Some(end) = text.iter().rposition(|byte| *byte == b'\n') {
            let after = start + end as u64 + 1;
            // The first newline from the end only tells where whole lines end.
            if whole && enough(&text[end + 1..]) {
                return Ok(Some(after + (text.len() - end - 1) as u64 + 1));
            }
            whole = true;
            text.truncate(end);
        }
        if start == 0 || text.len() as u64 > MAX_LINE {
            let found = whole && enough(&text);
            return Ok(found.then_some(start + text.len() as u64 + 1));
        }
        let size = start.min(BLOCK);
        start -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut block, start)?;
        block.append(&mut text);
        text = block;
    }
}

fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_end_of_a_file_is_found_from_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        let long = "x".repeat(150_000);
        let lines = ["first", "", &long, "second", "third"];
        file.write_all((lines.join("\n") + "\nhalf").as_bytes()).unwrap();
        let starts: Vec<usize> =
            lines.iter().scan(0, |at, line| Some(std::mem::replace(at, *at + line.len() + 1))).collect();
        for (n, line) in lines.iter().enumerate() {
            let mut asked = Vec::new();
            let found = seek_back(&file, |text| {
                asked.push(String::from_utf8(text.to_vec()).unwrap());
                text == line.as_bytes()
            });
            let end = (starts[n] + line.len() + 1) as u64;
            assert_eq!(found.unwrap(), Some(end), "line {n}");
            assert!(asked.iter().eq(lines[n..].iter().rev()), "line {n}");
        }
        assert_eq!(seek_back(&file, |_| false).unwrap(), None);
        assert_eq!(seek_back(&tempfile::tempfile().unwrap(), |_| true).unwrap(), None);
    }
}
