//! Directory blocks: 12-byte entries, sorted by name through the whole directory, then their names.

use super::{BLOCK, BLOCK_LEN};
use std::ops::Range;

const ENTRY: usize = 12;

/// One name in a directory.
pub(super) struct Name<'a> {
    pub name: &'a [u8],
    pub nid: u64,
    /// The kernel's `FT_*` number of the inode's type.
    pub kind: u8,
}

/// The bytes that a directory takes: whole blocks, and a rest in the last one.
pub(super) fn size(names: &[Name<'_>]) -> u64 {
    let blocks = blocks(names);
    let last = blocks.last().map_or(0, |range| used(&names[range.clone()]));
    (blocks.len().saturating_sub(1) as u64) * BLOCK + last as u64
}

/// Which names share a block, greedily.
pub(super) fn blocks(names: &[Name<'_>]) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut filled = usize::MAX;
    for (index, name) in names.iter().enumerate() {
        let need = ENTRY + name.name.len();
        match blocks.last_mut() {
            Some(block) if filled + need <= BLOCK_LEN => block.end = index + 1,
            _ => {
                blocks.push(index..index + 1);
                filled = 0;
            }
        }
        filled += need;
    }
    blocks
}

fn used(names: &[Name<'_>]) -> usize {
    names.iter().map(|name| ENTRY + name.name.len()).sum()
}

/// The bytes of the block that holds `names`, without padding.
pub(super) fn encode(names: &[Name<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(used(names));
    let mut offset = names.len() * ENTRY;
    for name in names {
        bytes.extend_from_slice(&name.nid.to_le_bytes());
        // A block has 4096 bytes, so that an offset in it fits.
        bytes.extend_from_slice(&u16::try_from(offset).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&[name.kind, 0]);
        offset += name.name.len();
    }
    names.iter().for_each(|name| bytes.extend_from_slice(name.name));
    bytes
}
