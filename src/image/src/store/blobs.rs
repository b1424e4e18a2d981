//! Blobs: written under a temporary name and given their digest's name once they match it.

use super::ImageStore;
use crate::digest::{Hasher, VerifyingReader};
use crate::manifest::{Descriptor, MAX_CONFIG};
use crate::{Digest, ImageError, Result};
use a3s_box_files::Scratch;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

const BUFFER: usize = 256 << 10;

/// Where an importer gets the blobs from that the store lacks.
pub(crate) type Source<'a> = dyn FnMut(&Descriptor) -> Result<Box<dyn Read + 'a>> + 'a;

impl ImageStore {
    pub(crate) fn blob_path(&self, digest: Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Whether the store has a blob of this digest and size. A file of another size is damaged, and is as
    /// good as missing.
    pub(crate) fn has_blob(&self, blob: &Descriptor) -> bool {
        fs::metadata(self.blob_path(blob.digest)).is_ok_and(|data| data.is_file() && data.len() == blob.size)
    }

    /// Whether the store has the blob, with bytes that are not its own.
    pub(crate) fn is_damaged(&self, blob: &Descriptor) -> Result<bool> {
        let path = self.blob_path(blob.digest);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(ImageError::io("open", &path))?,
        };
        match io::copy(&mut VerifyingReader::new(file, blob.digest, blob.size), &mut io::sink()) {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(true),
            Err(e) => Err(ImageError::io("read", &path)(e)),
        }
    }

    /// Removes a blob that is of no use to anybody.
    pub(crate) fn remove_blob(&self, digest: Digest) -> Result<()> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ImageError::io("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// The content of a small blob, verified.
    pub(crate) fn read_blob(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let thing = format!("blob {}", blob.digest);
        if blob.size > MAX_CONFIG {
            return Err(ImageError::too_large(thing, MAX_CONFIG));
        }
        let path = self.blob_path(blob.digest);
        let file = File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => ImageError::corrupt(&thing, "it is missing"),
            _ => ImageError::io("open", &path)(e),
        })?;
        // One read, and one that finds the end: a list of a thousand images reads two thousand of these.
        let mut content = Vec::with_capacity(usize::try_from(blob.size).unwrap_or_default() + 1);
        let read = file.take(blob.size + 1).read_to_end(&mut content);
        read.and_then(|_| {
            io::copy(&mut VerifyingReader::new(&content[..], blob.digest, blob.size), &mut io::sink())
        })
        .map_err(|e| ImageError::read(&thing, e))?;
        Ok(content)
    }

    /// The first few bytes of a blob, by which its compression shows.
    pub(crate) fn blob_start(&self, digest: Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let mut start = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(4).read_to_end(&mut start))
            .map_err(ImageError::io("read", &path))?;
        Ok(start)
    }

    /// Stores the blob that `source` promises to be; anything else is an error, and leaves nothing.
    pub(crate) fn write_blob(&self, blob: &Descriptor, source: impl Read) -> Result<()> {
        let thing = format!("blob {}", blob.digest);
        let scratch = self.scratch()?;
        copy(&thing, VerifyingReader::new(source, blob.digest, blob.size), &scratch, |_| {})?;
        self.publish(scratch, blob.digest)
    }

    /// Stores a blob whose digest nobody stated; its digest and size.
    pub(crate) fn add_blob(&self, thing: &str, source: impl Read) -> Result<(Digest, u64)> {
        let scratch = self.scratch()?;
        let mut hasher = Hasher::default();
        let size = copy(thing, source, &scratch, |bytes| hasher.update(bytes))?;
        let digest = hasher.finish();
        self.publish(scratch, digest)?;
        Ok((digest, size))
    }

    fn scratch(&self) -> Result<Scratch> {
        Scratch::new(&self.dir).map_err(ImageError::io("create a file in", &self.dir))
    }

    fn publish(&self, scratch: Scratch, digest: Digest) -> Result<()> {
        let path = self.blob_path(digest);
        scratch.publish(&path).map_err(ImageError::io("write", &path))
    }
}

/// Copies `source` into `scratch`, so that reading and writing errors can be told apart.
fn copy(thing: &str, mut source: impl Read, scratch: &Scratch, mut see: impl FnMut(&[u8])) -> Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ImageError::read(thing, e)),
        };
        see(&buffer[..count]);
        scratch.file().write_all(&buffer[..count]).map_err(ImageError::io("write", scratch.path()))?;
        size += count as u64;
    }
}
