//! A streaming reader of tar archives: POSIX ustar and pax, and GNU's long names and sparse files.
//!
//! It sits on hostile input: everything is checked and bounded, names stay bytes, and nothing touches a file
//! system. What an entry means is the caller's business. Formats: POSIX.1-2024 pax, and the "Basic Tar" and "Sparse Formats" chapters of the GNU tar
//! manual.

use crate::header::{BLOCK, Header};
use crate::pax::Pax;
use crate::sparse::SparseMap;
use crate::{Result, TarError};
use std::io::{self, BufRead, Read};

/// The longest path and link target that Linux takes, in bytes, its NUL aside.
pub const MAX_PATH: usize = 4095;
/// The largest pax header that is read, in bytes; Go's archive/tar has the same limit.
const MAX_PAX: u64 = 1 << 20;
/// The longest GNU long name that is read; padded generously by some writers.
const MAX_LONG_NAME: u64 = 8 << 10;

/// A modification time: seconds since the UNIX epoch, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Seconds since the UNIX epoch.
    pub secs: i64,
    /// Nanoseconds after that second.
    pub nanos: u32,
}

/// An extended attribute: name and value.
pub type Xattr = (Box<[u8]>, Box<[u8]>);

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, whose content the reader hands out next.
    File {
        /// Its length, holes included.
        size: u64,
        /// Which parts of it the archive holds, where not all.
        sparse: Option<SparseMap>,
    },
    /// Another name of the file at this path of the archive.
    HardLink(Vec<u8>),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Its driver.
        major: u32,
        /// Which of the driver's.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its driver.
        major: u32,
        /// Which of the driver's.
        minor: u32,
    },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry, as the archive states it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits.
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When its content changed last.
    pub mtime: Mtime,
    /// Its extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// Reads an archive entry by entry. Between two calls of [`TarReader::next_entry`] it is a reader of the content of
/// the entry that came last.
pub struct TarReader<R> {
    inner: R,
    /// What is read, for errors.
    name: String,
    /// Content bytes of the current entry that were not read yet.
    content: u64,
    /// Bytes from there to the next header.
    padding: u64,
    ended: bool,
}

impl<R: BufRead> TarReader<R> {
    /// Reads the archive that errors call `name` from `inner`.
    pub fn new(name: impl Into<String>, inner: R) -> Self {
        Self { inner, name: name.into(), content: 0, padding: 0, ended: false }
    }

    /// What was read from.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry, or `None` at the end of the archive, where everything after the end mark is read too.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut pax = Pax::default();
        let mut long_path = None;
        let mut long_link = None;
        while let Some(header) = self.next_header()? {
            match header.kind() {
                b'x' => pax = Pax::parse(&self.read_meta(&header, MAX_PAX)?).map_err(|e| self.bad(e))?,
                // Global headers carry comments (git archive); OCI runtimes ignore them too.
                b'g' => drop(self.read_meta(&header, MAX_PAX)?),
                b'L' => long_path = Some(until_nul(self.read_meta(&header, MAX_LONG_NAME)?)),
                b'K' => long_link = Some(until_nul(self.read_meta(&header, MAX_LONG_NAME)?)),
                _ => return self.entry(&header, pax, long_path, long_link).map(Some),
            }
        }
        Ok(None)
    }

    fn entry(
        &mut self,
        header: &Header,
        mut pax: Pax,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let path =
            pax.path.take().or(long_path).map_or_else(|| header.path(), Ok).map_err(|e| self.bad(e))?;
        let link = pax.linkpath.take().or(long_link).unwrap_or_else(|| header.link());
        let shown = String::from_utf8_lossy(&path).into_owned();
        let bad = |reason: &str| TarError::corrupt(&self.name, format!("entry {shown:?}: {reason}"));
        for text in [&path, &link] {
            if text.len() > MAX_PATH {
                return Err(bad("its path is longer than 4095 bytes"));
            }
            if text.contains(&0) {
                return Err(bad("its path holds a NUL byte"));
            }
        }
        let stored = pax.size.map_or_else(|| header.size(), Ok).map_err(bad)?;
        let mode = header.mode().map_err(bad)?;
        let uid = pax.uid.map_or_else(|| header.uid(), Ok).map_err(bad)?;
        let gid = pax.gid.map_or_else(|| header.gid(), Ok).map_err(bad)?;
        let mtime = pax.mtime.map_or_else(|| header.mtime(), Ok).map_err(bad)?;
        let device = || Ok((header.major().map_err(bad)?, header.minor().map_err(bad)?));
        let kind = match header.kind() {
            // Before ustar, a directory was a file whose name ends in a slash.
            b'0' | 0 if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' => EntryKind::File { size: stored, sparse: None },
            b'S' => EntryKind::File { size: stored, sparse: None },
            b'1' => EntryKind::HardLink(link),
            b'2' => EntryKind::Symlink(link),
            b'3' => device().map(|(major, minor)| EntryKind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| EntryKind::BlockDevice { major, minor })?,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                let what = format!("type {:?} of entry {shown:?}", char::from(other));
                return Err(TarError::Unsupported { thing: self.name.clone(), what });
            }
        };
        self.content = stored;
        self.padding = stored.next_multiple_of(BLOCK as u64) - stored;
        let xattrs = std::mem::take(&mut pax.xattrs);
        let mut entry = Entry { path, kind, mode, uid, gid, mtime, xattrs };
        if matches!(entry.kind, EntryKind::File { .. }) {
            self.read_sparse_map(header, pax, &mut entry)?;
        }
        Ok(entry)
    }

    /// Replaces a sparse file's stored size by its real one, and reads the map that precedes its content.
    fn read_sparse_map(&mut self, header: &Header, pax: Pax, entry: &mut Entry) -> Result<()> {
        let EntryKind::File { size, sparse } = &mut entry.kind else { return Ok(()) };
        let name = self.name.clone();
        let bad = |e: io::Error| TarError::read(&format!("a sparse file in {name}"), e);
        let map = if header.kind() == b'S' {
            // Extension headers precede the content and are not part of its size.
            Some(SparseMap::read_gnu(header, &mut self.inner).map_err(bad)?)
        } else {
            if let Some(name) = pax.sparse.name.clone() {
                entry.path = name;
            }
            SparseMap::read_pax(pax.sparse, self).map_err(bad)?
        };
        if let Some(map) = map {
            if map.stored() != self.content {
                return Err(self.bad("a sparse file's map does not fit its size"));
            }
            *size = map.size();
            *sparse = Some(map);
        }
        Ok(())
    }

    /// Skips what is left of the current entry and reads a header; `None` at the end of the archive.
    fn next_header(&mut self) -> Result<Option<Header>> {
        let (content, padding) = (self.content, self.padding);
        (self.content, self.padding) = (0, 0);
        let skipped = self.skip(content)?;
        if skipped < content {
            return Err(self.bad("it ends in the middle of an entry"));
        }
        // Some writers (umoci's insert) leave out the last padding with the end mark.
        self.skip(padding)?;
        let mut block = [0; BLOCK];
        // An end without its mark is common, and harmless: what is missing shows in the digest.
        let at_end =
            self.inner.fill_buf().map(<[u8]>::is_empty).map_err(|e| TarError::read(&self.name, e))?;
        if !self.ended && !at_end {
            self.inner.read_exact(&mut block).map_err(|e| self.failed(e))?;
        }
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            io::copy(&mut self.inner, &mut io::sink()).map_err(|e| self.failed(e))?;
            return Ok(None);
        }
        Header::parse(block).map(Some).map_err(|e| self.bad(e))
    }

    /// Reads up to `count` bytes past; how many there were.
    fn skip(&mut self, count: u64) -> Result<u64> {
        io::copy(&mut (&mut self.inner).take(count), &mut io::sink()).map_err(|e| self.failed(e))
    }

    /// The content of a header that describes the next entry.
    fn read_meta(&mut self, header: &Header, limit: u64) -> Result<Vec<u8>> {
        let size = header.size().map_err(|e| self.bad(e))?;
        if size > limit {
            return Err(TarError::TooLarge { thing: format!("an extended header in {}", self.name), limit });
        }
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|e| self.failed(e))?;
        Ok(bytes)
    }

    fn bad(&self, reason: &str) -> TarError {
        TarError::corrupt(&self.name, reason)
    }

    fn failed(&self, error: io::Error) -> TarError {
        TarError::read(&self.name, error)
    }
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.truncate(end);
    text
}

impl<R: BufRead> BufRead for TarReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let bytes = self.inner.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[..most])
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.content -= count as u64;
    }
}

impl<R: BufRead> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
