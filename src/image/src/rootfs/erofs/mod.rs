//! EROFS images: a superblock, file content, then directory blocks and inodes.
//!
//! Content comes first because it is written while the layers stream by; everything else is known only then.
//! Content that an upper layer replaced stays in the image unseen. Same tree, same bytes: there is no clock
//! and no random number here. Format: the kernel's `Documentation/filesystems/erofs.rst` and
//! `fs/erofs/erofs_fs.h`; 4 KiB blocks, nothing compressed, readable by every kernel since 5.4.

mod dir;
mod inode;
mod layout;
mod output;
mod xattr;

pub(super) use inode::device;
pub(super) use output::Output;
pub(super) use xattr::stored_xattrs;

use super::tree::Tree;
use crate::Result;
use layout::Layout;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The block size in bytes.
const BLOCK: u64 = 1 << BLOCK_BITS;
const BLOCK_LEN: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u8 = 12;
const SUPERBLOCK: usize = 1024;
const MAGIC: [u8; 4] = 0xE0F5_E1E2_u32.to_le_bytes();
/// The superblock has a checksum, and inodes have modification times.
const FEATURES: u32 = 1 | 2;

/// Completes the image in `out`, which holds the tree's content. `uuid` becomes the volume's.
pub(super) fn finish(tree: &Tree, mut out: Output<'_>, uuid: [u8; 16]) -> Result<()> {
    let layout = Layout::plan(tree, u64::from(out.block()?))?;
    layout.write(&mut out)?;
    out.align()?;
    let first = superblock(&layout, out.block()?, uuid);
    out.finish(&first)
}

/// Whether `file` begins with a sound first block and is as long as that says. What is inside is not looked at.
pub(super) fn is_whole(file: &File) -> std::io::Result<bool> {
    let length = file.metadata()?.len();
    if length < BLOCK {
        return Ok(false);
    }
    let mut block = [0; BLOCK_LEN];
    file.read_exact_at(&mut block, 0)?;
    let fields = &mut block[SUPERBLOCK..];
    let stated = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    fields[4..8].fill(0);
    if crc32c(fields) != stated {
        return Ok(false);
    }
    let blocks = u32::from_le_bytes([fields[36], fields[37], fields[38], fields[39]]);
    Ok(fields[..4] == MAGIC && u64::from(blocks) * BLOCK == length)
}

fn superblock(layout: &Layout<'_>, blocks: u32, uuid: [u8; 16]) -> Vec<u8> {
    let mut fields = Vec::with_capacity(128);
    let mut put = |field: &[u8]| fields.extend_from_slice(field);
    put(&MAGIC);
    put(&[0; 4]);
    put(&FEATURES.to_le_bytes());
    put(&[BLOCK_BITS, 0]);
    put(&Layout::ROOT_NID.to_le_bytes());
    put(&layout.inodes().to_le_bytes());
    put(&layout.epoch().secs.to_le_bytes());
    put(&layout.epoch().nanos.to_le_bytes());
    put(&blocks.to_le_bytes());
    put(&layout.meta_block().to_le_bytes());
    // No shared attributes.
    put(&0_u32.to_le_bytes());
    put(&uuid);
    let mut block = vec![0; BLOCK_LEN];
    block[SUPERBLOCK..SUPERBLOCK + fields.len()].copy_from_slice(&fields);
    let checksum = crc32c(&block[SUPERBLOCK..]);
    block[SUPERBLOCK + 4..SUPERBLOCK + 8].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// CRC-32C as the kernel leaves it: all ones at first, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_is_castagnoli_without_the_last_inversion() {
        assert_eq!(!crc32c(b"123456789"), 0xE306_9283);
    }
}
