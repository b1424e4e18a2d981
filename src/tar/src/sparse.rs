//! Maps of sparse files: which parts of a file the archive holds. The rest reads as zeros.

use crate::header::{BLOCK, Header, number, size};
use crate::pax::{PaxSparse, decimal};
use std::io::{self, BufRead, Read};

/// The most parts a file may have; a map takes 16 bytes a part in memory.
pub(crate) const MAX_PARTS: usize = 1 << 18;

/// The stored parts of a sparse file: ordered, apart, and within the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseMap {
    parts: Vec<(u64, u64)>,
    size: u64,
}

impl SparseMap {
    /// Offset and length of each stored part.
    pub fn parts(&self) -> &[(u64, u64)] {
        &self.parts
    }

    /// The map of a file of `size` bytes that holds `parts`, offset and length of each; none where they are not in
    /// order, apart and within the file, or too many.
    pub fn new(parts: Vec<(u64, u64)>, size: u64) -> Option<Self> {
        Self::checked(parts, size).ok()
    }

    /// The file's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes the archive holds.
    pub fn stored(&self) -> u64 {
        self.parts.iter().map(|(_, length)| length).sum()
    }

    /// GNU's own format: pairs in the header and in extension blocks that follow it.
    pub(crate) fn read_gnu(header: &Header, source: &mut impl Read) -> io::Result<Self> {
        let (pairs, mut more, real_size) = header.gnu_sparse();
        let mut parts = Vec::new();
        push_pairs(pairs, &mut parts)?;
        while more {
            let mut block = [0; BLOCK];
            source.read_exact(&mut block)?;
            push_pairs(&block[..504], &mut parts)?;
            more = block[504] != 0;
        }
        Self::checked(parts, real_size.map_err(invalid)?)
    }

    /// The pax formats 0.1 (map in the header) and 1.0 (map before the content); `None` where there is no
    /// map.
    pub(crate) fn read_pax(said: PaxSparse, content: &mut impl BufRead) -> io::Result<Option<Self>> {
        let numbers = match (said.version, said.map) {
            ([None, None], None) => return Ok(None),
            ([Some(1), Some(0)], None) => read_map(content)?,
            ([None, None] | [Some(0), Some(1)], Some(map)) => {
                let numbers = map.split(|byte| *byte == b',').map(decimal);
                numbers.collect::<Result<Vec<_>, _>>().map_err(invalid)?
            }
            _ => return Err(invalid("its sparse format is unknown")),
        };
        let size = said.size.ok_or_else(|| invalid("its real size is missing"))?;
        let (pairs, []) = numbers.as_chunks::<2>() else { return Err(invalid("its map is cut off")) };
        Self::checked(pairs.iter().map(|[offset, length]| (*offset, *length)).collect(), size).map(Some)
    }

    fn checked(parts: Vec<(u64, u64)>, size: u64) -> io::Result<Self> {
        let mut end = 0;
        for (offset, length) in &parts {
            let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
            end = next.ok_or_else(|| invalid("its map is out of order"))?;
        }
        if parts.len() > MAX_PARTS {
            return Err(invalid("its map has too many parts"));
        }
        Ok(Self { parts, size })
    }
}

fn push_pairs(pairs: &[u8], parts: &mut Vec<(u64, u64)>) -> io::Result<()> {
    for pair in pairs.chunks_exact(24) {
        // The first empty pair ends the map.
        if pair[12] == 0 {
            break;
        }
        let [offset, length] = [&pair[..12], &pair[12..]].map(|field| number(field).and_then(size));
        parts.push((offset.map_err(invalid)?, length.map_err(invalid)?));
        if parts.len() > MAX_PARTS {
            return Err(invalid("its map has too many parts"));
        }
    }
    Ok(())
}

/// The count of pairs and then the pairs, a number a line, padded to a whole block.
fn read_map(content: &mut impl BufRead) -> io::Result<Vec<u64>> {
    let mut taken = 0;
    let mut line = || {
        let mut line = Vec::new();
        content.by_ref().take(24).read_until(b'\n', &mut line)?;
        taken += line.len();
        let digits = line.strip_suffix(b"\n").ok_or_else(|| invalid("its map is cut off"))?;
        decimal(digits).map_err(invalid)
    };
    let count = usize::try_from(line()?).ok().filter(|count| *count <= MAX_PARTS);
    let count = count.ok_or_else(|| invalid("its map has too many parts"))?;
    let numbers = (0..count * 2).map(|_| line()).collect::<io::Result<Vec<_>>>()?;
    let mut padding = vec![0; taken.next_multiple_of(BLOCK) - taken];
    content.read_exact(&mut padding)?;
    Ok(numbers)
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
