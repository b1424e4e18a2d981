//! Blobs on their way into the store: one file a blob in `partial/`, written front to back by one process at a
//! time, which others wait for. What a killed process or a lost network leaves is a beginning, and is continued.

use super::ImageStore;
use crate::digest::Hasher;
use crate::manifest::Descriptor;
use crate::{ImageError, Result};
use a3s_box_files::sync_dir;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const BUFFER: usize = 256 << 10;
/// Between two looks at what another process is writing.
const LOOK: Duration = Duration::from_millis(20);
/// How long another process may hold a blob without writing any of it: longer than all of its own deadlines.
const STALLED: Duration = Duration::from_secs(10 * 60);
/// How long a beginning is kept that nobody continues.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A blob that this process writes, and no other.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    blob: Descriptor,
    written: u64,
    hasher: Hasher,
}

impl ImageStore {
    fn partials(&self) -> PathBuf {
        self.dir.join("partial")
    }

    /// Claims `blob` for writing; none if it is in the store, perhaps since another process wrote it. While another process writes it this waits, tells `seen` how far it has come,
    /// and goes on if it gives up. The caller holds a lease. `seen` returns whether to wait on.
    pub(crate) fn claim(
        &self,
        blob: &Descriptor,
        mut seen: impl FnMut(u64) -> bool,
    ) -> Result<Option<Partial>> {
        let dir = self.partials();
        fs::create_dir_all(&dir).map_err(ImageError::io("create", &dir))?;
        let path = dir.join(blob.digest.hex());
        let (mut length, mut since) = (0, Instant::now());
        loop {
            if self.has_blob(blob) {
                return Ok(None);
            }
            let file = open(&path).map_err(ImageError::io("open", &path))?;
            match file.try_lock() {
                // Between open and lock its last owner may have moved it to its place, or removed it.
                Ok(()) if is_at(&file, &path) && !self.has_blob(blob) => {
                    return Partial::resume(file, path, self.blob_path(blob.digest), blob.clone()).map(Some);
                }
                Ok(()) => {
                    // The blob came in that moment, and the file is a new one that nobody needs.
                    if is_at(&file, &path) {
                        fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
                    }
                    continue;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(ImageError::io("lock", &path)(e)),
            }
            let now = file.metadata().map_or(0, |data| data.len());
            if now != length {
                (length, since) = (now, Instant::now());
            }
            if !seen(length.min(blob.size)) || since.elapsed() > STALLED {
                return Err(ImageError::Locked { path: path.display().to_string() });
            }
            thread::sleep(LOOK);
        }
    }

    /// Removes the beginnings that nobody continued for a day, or `all`. The caller has the store for itself.
    pub(super) fn remove_partials(&self, all: bool) -> Result<()> {
        for path in self.beginnings()? {
            let changed =
                fs::metadata(&path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            if all || changed.elapsed().is_ok_and(|age| age > KEPT) {
                fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The files of all beginnings.
    pub(super) fn beginnings(&self) -> Result<Vec<PathBuf>> {
        let dir = self.partials();
        let failed = |e| ImageError::io("read", &dir)(e);
        match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            files => files.map_err(failed)?.map(|file| Ok(file.map_err(failed)?.path())).collect(),
        }
    }
}

impl Partial {
    /// Takes up the file where its last owner left it.
    fn resume(mut file: File, path: PathBuf, target: PathBuf, blob: Descriptor) -> Result<Self> {
        let failed = |e| ImageError::io("read", &path)(e);
        let mut hasher = Hasher::default();
        let mut written = 0;
        if file.metadata().map_err(failed)?.len() > blob.size {
            file.set_len(0).map_err(failed)?;
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    written += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(Self { file, path, target, blob, written, hasher })
    }

    /// The blob.
    pub(crate) fn blob(&self) -> &Descriptor {
        &self.blob
    }

    /// Bytes that are there.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Another handle, by which what was written can be read.
    pub(crate) fn reader(&self) -> Result<File> {
        File::open(&self.path).map_err(ImageError::io("open", &self.path))
    }

    /// Adds `bytes`, which must not be more than are missing.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(ImageError::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Puts the finished blob into its place. One that is not what was promised goes away.
    pub(crate) fn publish(self) -> Result<()> {
        let digest = self.hasher.finish();
        if self.written != self.blob.size || digest != self.blob.digest {
            fs::remove_file(&self.path).map_err(ImageError::io("remove", &self.path))?;
            return Err(ImageError::corrupt(
                format!("blob {}", self.blob.digest),
                format!("its digest is {digest}"),
            ));
        }
        let placed = self.file.sync_data().and_then(|()| fs::rename(&self.path, &self.target));
        placed
            .and_then(|()| self.target.parent().map_or(Ok(()), sync_dir))
            .map_err(ImageError::io("write", &self.target))
    }

    /// Removes what came so far, because it can be nothing but wrong.
    pub(crate) fn discard(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(ImageError::io("remove", &self.path))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether `path` still leads to `file`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn blob(content: &[u8]) -> Descriptor {
        Descriptor::new("x", Digest::of(content), content.len() as u64)
    }

    fn ours(store: &ImageStore, blob: &Descriptor) -> Partial {
        store.claim(blob, |_| false).unwrap().unwrap()
    }

    #[test]
    fn a_beginning_is_continued_and_a_finished_blob_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let blob = blob(b"content");
        let mut first = ours(&store, &blob);
        first.append(b"con").unwrap();
        let waited = store.claim(&blob, |seen| {
            assert_eq!(seen, 3);
            false
        });
        assert!(matches!(waited, Err(ImageError::Locked { .. })));
        drop(first);
        let mut second = ours(&store, &blob);
        assert_eq!(second.written(), 3);
        second.append(b"tent").unwrap();
        second.publish().unwrap();
        assert!(store.claim(&blob, |_| false).unwrap().is_none());
        assert_eq!(fs::read_dir(store.partials()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_wrong_or_too_long_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let blob = blob(b"content");
        let mut wrong = ours(&store, &blob);
        wrong.append(b"cantent").unwrap();
        assert!(wrong.publish().is_err());
        assert!(!store.has_blob(&blob));
        fs::write(store.partials().join(blob.digest.hex()), b"content and more").unwrap();
        assert_eq!(ours(&store, &blob).written(), 0);
        fs::write(store.partials().join(blob.digest.hex()), b"beginning").unwrap();
        store.remove_partials(false).unwrap();
        assert_eq!(fs::read_dir(store.partials()).unwrap().count(), 1);
        store.remove_partials(true).unwrap();
        assert_eq!(fs::read_dir(store.partials()).unwrap().count(), 0);
    }
}
