//! A layer that is being fetched and read at the same time: the reader follows the writer through the file.

use crate::{ImageError, Result};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a layer's fetcher tells its reader.
#[derive(Debug, Default)]
pub(super) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<File>>,
    /// Bytes of the file that may be read.
    available: u64,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it came, and is what was promised.
    Whole,
    /// It will not come.
    Failed,
}

impl Feed {
    /// The layer begins to come, into `file`. Nothing of it may be read yet.
    pub(super) fn begin(&self, file: File) {
        self.state().file = Some(Arc::new(file));
    }

    /// More of it is there.
    pub(super) fn grow(&self, available: u64) {
        self.state().available = available;
        self.changed.notify_all();
    }

    /// All of it is in the store, at `path`.
    pub(super) fn complete(&self, path: &Path) -> Result<()> {
        let mut state = self.state();
        // Until something was read, it may have come another way than it began.
        if state.available == 0 {
            state.file = Some(Arc::new(File::open(path).map_err(ImageError::io("open", path))?));
        }
        if let Some(file) = &state.file {
            state.available = file.metadata().map_err(ImageError::io("read", path))?.len();
        }
        state.end = Some(End::Whole);
        self.changed.notify_all();
        Ok(())
    }

    /// It will not come. What is complete stays so.
    pub(super) fn fail(&self) {
        let mut state = self.state();
        state.end.get_or_insert(End::Failed);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a feed from its beginning. The fetcher's own deadlines bound every wait: it always completes or fails.
pub(super) struct Follower {
    feed: Arc<Feed>,
    file: Option<Arc<File>>,
    at: u64,
    available: u64,
}

impl Follower {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        Self { feed, file: None, at: 0, available: 0 }
    }

    /// Waits until there is more than was read. Whether there is.
    fn more(&mut self) -> io::Result<bool> {
        let mut state = self.feed.state();
        loop {
            if state.end == Some(End::Failed) {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the layer did not come"));
            }
            if state.available > self.at {
                self.available = state.available;
                self.file.clone_from(&state.file);
                return Ok(true);
            }
            if state.end == Some(End::Whole) {
                return Ok(false);
            }
            state = self.feed.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.available && !self.more()? {
            return Ok(0);
        }
        let Some(file) = &self.file else { return Ok(0) };
        let most = usize::try_from(self.available - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::thread;

    #[test]
    fn a_follower_sees_all_that_comes_and_then_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layer");
        let mut file = File::create(&path).unwrap();
        let feed = Arc::new(Feed::default());
        let mut follower = Follower::new(Arc::clone(&feed));
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            follower.read_to_end(&mut all).map(|_| all)
        });
        file.write_all(b"one ").unwrap();
        feed.begin(File::open(&path).unwrap());
        feed.grow(4);
        file.write_all(b"two").unwrap();
        feed.grow(7);
        feed.complete(&path).unwrap();
        feed.fail();
        assert_eq!(reader.join().unwrap().unwrap(), b"one two");
    }

    #[test]
    fn a_layer_that_does_not_come_is_an_error_and_not_an_end() {
        let feed = Arc::new(Feed::default());
        let mut follower = Follower::new(Arc::clone(&feed));
        let reader = thread::spawn(move || follower.read_to_end(&mut Vec::new()));
        feed.fail();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
