//! Advisory locks between processes (flock(2)), waited for with a deadline.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// A lock that is held until this is dropped, or its process dies.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock file at `path`, made if missing, for this caller alone.
    ///
    /// # Errors
    /// `TimedOut` when others held it for all of `patience`; those of open(2).
    pub fn exclusive(path: &Path, patience: Duration) -> io::Result<Self> {
        wait(open(path)?, patience, File::try_lock, File::lock)
    }

    /// Takes the lock file at `path`, made if missing, together with others who share it.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn shared(path: &Path, patience: Duration) -> io::Result<Self> {
        wait(open(path)?, patience, File::try_lock_shared, File::lock_shared)
    }

    /// Takes the lock for this caller alone if nobody holds it now.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether somebody holds the lock file at `path` for himself. It is touched only for an instant, shared.
    ///
    /// # Errors
    /// Those of open(2), but for a missing file, which nobody holds.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The open file. Whoever inherits it holds the lock too, until the last holder is gone.
    pub fn into_file(self) -> File {
        self.0
    }
}

fn wait(
    file: File,
    patience: Duration,
    attempt: fn(&File) -> Result<(), TryLockError>,
    block: fn(&File) -> io::Result<()>,
) -> io::Result<Lock> {
    match attempt(&file) {
        Ok(()) => return Ok(Lock(file)),
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {}
    }
    // flock(2) has no deadline of its own; a thread blocks in it and is left behind if it comes too late.
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let locked = block(&file);
        // Nobody listens any more once the deadline passed; dropping the file then drops the lock.
        let _ = sender.send(locked.map(|()| file));
    });
    match receiver.recv_timeout(patience) {
        Ok(locked) => locked.map(Lock),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_until_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());
        let held = Lock::exclusive(&path, Duration::from_secs(5)).unwrap();
        assert!(Lock::is_held(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        let error = Lock::shared(&path, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let waiter = {
            let path = path.clone();
            std::thread::spawn(move || Lock::shared(&path, Duration::from_secs(60)).map(drop))
        };
        drop(held);
        waiter.join().unwrap().unwrap();
        assert!(!Lock::is_held(&path).unwrap());
    }
}
