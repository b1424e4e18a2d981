//! A streaming writer of tar archives: ustar headers, and pax records for all that does not fit them.

use crate::header::BLOCK;
use crate::read::{Entry, EntryKind, Mtime};
use std::io::{self, Write};

/// The largest number that seven octal digits hold.
const MAX_ID: u32 = 0o7_777_777;
/// The largest number that eleven octal digits hold.
const MAX_SIZE: u64 = 0o77_777_777_777;
/// The longest name that a header holds.
const NAME: usize = 100;

/// Writes an archive entry by entry. What follows an entry of a file is its content, by [`Write`].
pub struct TarWriter<W> {
    inner: W,
    /// Content bytes of the current entry that were not written yet.
    content: u64,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `inner`, which is told every few bytes: it had better be buffered.
    pub fn new(inner: W) -> Self {
        Self { inner, content: 0, padding: 0 }
    }

    /// Begins an entry. For a file, as many bytes as it holds are to be written next: of a sparse one only the parts
    /// that its map names.
    ///
    /// # Errors
    /// Those of writing; `InvalidInput` where the content of the last entry is not complete.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.end_entry()?;
        let mut pax = Vec::new();
        let mut name = entry.path.clone();
        let mut map = Vec::new();
        let (kind, stored, link, device) = match &entry.kind {
            EntryKind::File { size, sparse: None } => (b'0', *size, &b""[..], (0, 0)),
            EntryKind::File { size, sparse: Some(parts) } => {
                map = format!("{}\n", parts.parts().len()).into_bytes();
                for (offset, length) in parts.parts() {
                    writeln!(map, "{offset}\n{length}")?;
                }
                map.resize(map.len().next_multiple_of(BLOCK), 0);
                for (key, value) in [("major", &b"1"[..]), ("minor", b"0"), ("name", &entry.path)] {
                    record(&mut pax, &format!("GNU.sparse.{key}"), value);
                }
                record(&mut pax, "GNU.sparse.realsize", size.to_string().as_bytes());
                let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                name = [b"GNUSparseFile.0/", file].concat();
                (b'0', parts.stored() + map.len() as u64, &b""[..], (0, 0))
            }
            EntryKind::HardLink(target) => (b'1', 0, &target[..], (0, 0)),
            EntryKind::Symlink(target) => (b'2', 0, &target[..], (0, 0)),
            EntryKind::CharDevice { major, minor } => (b'3', 0, &b""[..], (*major, *minor)),
            EntryKind::BlockDevice { major, minor } => (b'4', 0, &b""[..], (*major, *minor)),
            EntryKind::Directory => {
                if !name.ends_with(b"/") {
                    name.push(b'/');
                }
                (b'5', 0, &b""[..], (0, 0))
            }
            EntryKind::Fifo => (b'6', 0, &b""[..], (0, 0)),
        };
        if name.len() > NAME {
            record(&mut pax, "path", &name);
        }
        if link.len() > NAME {
            record(&mut pax, "linkpath", link);
        }
        for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            if id > MAX_ID {
                record(&mut pax, key, id.to_string().as_bytes());
            }
        }
        if stored > MAX_SIZE {
            record(&mut pax, "size", stored.to_string().as_bytes());
        }
        if entry.mtime.nanos != 0 || entry.mtime.secs < 0 || entry.mtime.secs > 0o77_777_777_777 {
            record(&mut pax, "mtime", decimal(entry.mtime).as_bytes());
        }
        for (key, value) in &entry.xattrs {
            record_bytes(&mut pax, &[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        if !pax.is_empty() {
            let plain = Fields { mode: 0o644, ..Fields::default() };
            self.inner.write_all(&header(b"pax", b'x', pax.len() as u64, b"", &plain))?;
            pax.resize(pax.len().next_multiple_of(BLOCK), 0);
            self.inner.write_all(&pax)?;
        }
        let fields = Fields {
            mode: entry.mode,
            uid: entry.uid.min(MAX_ID),
            gid: entry.gid.min(MAX_ID),
            mtime: entry.mtime.secs.clamp(0, 0o77_777_777_777),
            device,
        };
        self.inner.write_all(&header(&name, kind, stored.min(MAX_SIZE), link, &fields))?;
        self.inner.write_all(&map)?;
        self.content = stored - map.len() as u64;
        self.padding = padding(stored);
        Ok(())
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn finish(mut self) -> io::Result<W> {
        self.end_entry()?;
        self.inner.write_all(&[0; 2 * BLOCK])?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn end_entry(&mut self) -> io::Result<()> {
        if self.content > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file's content is not complete"));
        }
        self.inner.write_all(&[0; BLOCK][..std::mem::take(&mut self.padding)])
    }
}

impl<W: Write> Write for TarWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(bytes.len());
        let written = self.inner.write(&bytes[..most])?;
        self.content -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0)
}

#[derive(Default)]
struct Fields {
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: i64,
    device: (u32, u32),
}

fn header(name: &[u8], kind: u8, size: u64, link: &[u8], fields: &Fields) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(NAME)]);
    put(100, format!("{:07o}", fields.mode).as_bytes());
    put(108, format!("{:07o}", fields.uid).as_bytes());
    put(116, format!("{:07o}", fields.gid).as_bytes());
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{:011o}", fields.mtime).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(NAME)]);
    put(257, b"ustar\x0000");
    let (major, minor) = fields.device;
    // Linux's device numbers fit: 12 and 20 bits.
    put(329, format!("{:07o}", major & MAX_ID).as_bytes());
    put(337, format!("{:07o}", minor & MAX_ID).as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn decimal(time: Mtime) -> String {
    let Mtime { secs, nanos } = time;
    let (sign, secs, nanos) = match (secs < 0, nanos) {
        (true, 0) => ("-", secs.unsigned_abs(), 0),
        // Seconds count down, nanoseconds up.
        (true, _) => ("-", (secs + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (false, _) => ("", secs.unsigned_abs(), nanos),
    };
    format!("{sign}{secs}.{nanos:09}")
}

fn record(pax: &mut Vec<u8>, key: &str, value: &[u8]) {
    record_bytes(pax, key.as_bytes(), value);
}

/// Adds `length key=value`, whose length counts itself.
fn record_bytes(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    pax.extend_from_slice(length.to_string().as_bytes());
    for part in [&b" "[..], key, b"=", value, b"\n"] {
        pax.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SparseMap, TarReader};
    use std::io::Read;

    fn entry(path: &[u8], kind: EntryKind) -> Entry {
        let mtime = Mtime { secs: 1_700_000_000, nanos: 0 };
        Entry { path: path.to_vec(), kind, mode: 0o644, uid: 1, gid: 2, mtime, xattrs: Vec::new() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long = [b"d/", &[b'x'; 255][..]].concat();
        let parts = SparseMap::new(vec![(4096, 3), (1 << 40, 0)], 1 << 40).unwrap();
        let all = [
            entry(b"d/", EntryKind::Directory),
            Entry {
                mode: 0o6755,
                uid: 3_000_000,
                gid: u32::MAX,
                mtime: Mtime { secs: -5, nanos: 250_000_000 },
                xattrs: vec![(b"user.k"[..].into(), b"a\0=\n"[..].into())],
                ..entry(&long, EntryKind::File { size: 5, sparse: None })
            },
            entry(b"d/hole", EntryKind::File { size: 1 << 40, sparse: Some(parts) }),
            entry(b"d/h", EntryKind::HardLink(long.clone())),
            entry(b"d/s", EntryKind::Symlink(vec![b'y'; 4000])),
            entry(b"d/c", EntryKind::CharDevice { major: 4095, minor: 1_048_575 }),
            entry(b"d/p", EntryKind::Fifo),
        ];
        let mut writer = TarWriter::new(Vec::new());
        for entry in &all {
            writer.entry(entry).unwrap();
            match &entry.kind {
                EntryKind::File { sparse: None, .. } => writer.write_all(b"hello").unwrap(),
                EntryKind::File { .. } => writer.write_all(b"abc").unwrap(),
                _ => {}
            }
        }
        let tar = writer.finish().unwrap();
        assert!(tar.len().is_multiple_of(512));
        let mut reader = TarReader::new("x", &tar[..]);
        let mut contents = Vec::new();
        for entry in &all {
            let read = reader.next_entry().unwrap().unwrap();
            assert_eq!(format!("{read:?}"), format!("{entry:?}"));
            reader.read_to_end(&mut contents).unwrap();
        }
        assert!(reader.next_entry().unwrap().is_none());
        assert_eq!(contents, b"helloabc");
    }

    #[test]
    fn content_that_is_too_long_or_too_short_is_refused() {
        let mut writer = TarWriter::new(Vec::new());
        writer.entry(&entry(b"f", EntryKind::File { size: 2, sparse: None })).unwrap();
        assert_eq!(writer.write(b"abc").unwrap(), 2);
        assert_eq!(writer.write(b"c").unwrap(), 0);
        writer.entry(&entry(b"g", EntryKind::File { size: 2, sparse: None })).unwrap();
        assert!(writer.finish().is_err());
    }
}
