//! Files written under a temporary name, synced, then renamed.
//!
//! A temporary file is locked while its writer lives, so that what a killed process left behind can be told
//! from what another process is writing.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const PREFIX: &str = ".tmp-";

/// A file in the making. It vanishes when dropped, unless it was published.
#[derive(Debug)]
pub struct Scratch(NamedTempFile);

impl Scratch {
    /// A new temporary file in `dir`, which must be on the file system of the final place.
    ///
    /// # Errors
    /// Those of open(2) and flock(2).
    pub fn new(dir: &Path) -> io::Result<Self> {
        loop {
            let file = tempfile::Builder::new().prefix(PREFIX).tempfile_in(dir)?;
            // A sweeper may have seen the file before it was locked; then it is gone and another is made.
            match file.as_file().try_lock() {
                Ok(()) if file.path().exists() => return Ok(Self(file)),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Writes `bytes` to `path` so that readers, and a power cut, see all of them or what was there before.
    ///
    /// # Errors
    /// Those of open(2), write(2), fsync(2) and rename(2).
    pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
        Self::holding(path, bytes)?.publish(path)
    }

    /// As [`Scratch::write`], without waiting for the disk: a power cut may take it back.
    ///
    /// # Errors
    /// Those of open(2), write(2) and rename(2).
    pub fn write_lazily(path: &Path, bytes: &[u8]) -> io::Result<()> {
        Self::holding(path, bytes)?.keep(path)
    }

    /// One that is to become the file at `path`, with all of its bytes.
    fn holding(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let scratch = Self::new(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        scratch.file().write_all(bytes)?;
        Ok(scratch)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.0.as_file()
    }

    /// Where the file is now.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives the file its name, without waiting for the disk: for what can be made again.
    ///
    /// # Errors
    /// Those of rename(2); the temporary file is gone then.
    pub fn keep(self, path: &Path) -> io::Result<()> {
        self.0.persist(path).map_err(|e| e.error)?;
        Ok(())
    }

    /// Makes the file durable and gives it its name, in place of whatever has that name.
    ///
    /// # Errors
    /// Those of fsync(2) and rename(2); the temporary file is gone then.
    pub fn publish(self, path: &Path) -> io::Result<()> {
        self.0.as_file().sync_all()?;
        self.0.persist(path).map_err(|e| e.error)?;
        path.parent().map_or(Ok(()), sync_dir)
    }
}

/// Makes renames and removals in `dir` durable.
///
/// # Errors
/// Those of open(2) and fsync(2).
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The temporary files in `dir` whose writers are gone.
///
/// # Errors
/// Those of readdir(3) and open(2).
pub fn abandoned(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        match File::open(entry.path()).map(|file| file.try_lock()) {
            Ok(Ok(())) => found.push(entry.path()),
            Ok(Err(TryLockError::WouldBlock)) => {}
            Ok(Err(TryLockError::Error(error))) => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Removes the temporary files in `dir` whose writers are gone.
///
/// # Errors
/// Those of readdir(3) and unlink(2).
pub fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let swept = File::open(entry.path()).and_then(|file| match file.try_lock() {
            Ok(()) => fs::remove_file(entry.path()),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match swept {
            // Published or swept by somebody else in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_writer_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        Scratch::write(&path, b"old").unwrap();
        let live = Scratch::new(dir.path()).unwrap();
        fs::write(dir.path().join(".tmp-dead"), "half").unwrap();
        assert_eq!(abandoned(dir.path()).unwrap(), [dir.path().join(".tmp-dead")]);
        sweep(dir.path()).unwrap();
        assert_eq!(abandoned(dir.path()).unwrap(), [] as [PathBuf; 0]);
        assert!(live.path().exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        live.file().write_all(b"new").unwrap();
        live.publish(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
