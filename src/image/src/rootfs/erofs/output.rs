//! The image file, written front to back in large pieces; long runs of zeros become holes.

use super::{BLOCK, BLOCK_LEN};
use crate::{ImageError, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BUFFER: usize = 128 << 10;
/// Pieces from this size on are not worth copying together.
const LARGE: usize = 64 << 10;

/// A file in the making. The first block is left free for the superblock.
pub(in crate::rootfs) struct Output<'a> {
    file: &'a File,
    path: &'a Path,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    offset: u64,
}

impl<'a> Output<'a> {
    /// Writes to the empty `file`; errors call it `path`.
    pub(in crate::rootfs) fn new(file: &'a File, path: &'a Path) -> Self {
        Self { file, path, buffer: Vec::with_capacity(BUFFER), offset: BLOCK }
    }

    /// Bytes from the file's start to here.
    pub(in crate::rootfs) fn position(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// The number of the block that begins here.
    pub(in crate::rootfs) fn block(&self) -> Result<u32> {
        // EROFS counts blocks in 32 bits.
        u32::try_from(self.position() / BLOCK).map_err(|_| ImageError::too_large("the rootfs image", 1 << 44))
    }

    pub(in crate::rootfs) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if bytes.len() >= LARGE {
            self.flush()?;
            if !is_zero(bytes) {
                self.file.write_all_at(bytes, self.offset).map_err(ImageError::io("write", self.path))?;
            }
            self.offset += bytes.len() as u64;
            return Ok(());
        }
        while !bytes.is_empty() {
            let count = bytes.len().min(BUFFER - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(in crate::rootfs) fn zeros(&mut self, count: u64) -> Result<()> {
        match usize::try_from(count) {
            Ok(short) if short <= BUFFER - self.buffer.len() => {
                self.buffer.resize(self.buffer.len() + short, 0)
            }
            _ => {
                self.flush()?;
                self.offset += count;
            }
        }
        Ok(())
    }

    /// Fills up the block.
    pub(in crate::rootfs) fn align(&mut self) -> Result<()> {
        self.zeros(self.position().next_multiple_of(BLOCK) - self.position())
    }

    /// Writes the first block and ends the file here.
    pub(super) fn finish(mut self, first_block: &[u8]) -> Result<()> {
        self.flush()?;
        let ended = self.file.set_len(self.offset).and_then(|()| self.file.write_all_at(first_block, 0));
        ended.map_err(ImageError::io("write", self.path))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.offset).map_err(ImageError::io("write", self.path))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // Block by block, which is as fast as memory: a loop that could end at any byte is not.
    bytes.chunks(BLOCK_LEN).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_cost_no_room_and_are_there() {
        // Beside the sources: not every temporary folder keeps holes.
        let file = tempfile::tempfile_in(".").unwrap();
        let zeros = vec![0; 4 << 20];
        let mut almost = zeros.clone();
        *almost.last_mut().unwrap() = 1;
        let mut out = Output::new(&file, Path::new("image"));
        for bytes in [&b"start"[..], &zeros, b"middle", &almost] {
            out.write(bytes).unwrap();
            out.align().unwrap();
        }
        out.finish(&[7; BLOCK_LEN]).unwrap();
        let mut content = [&[7; BLOCK_LEN][..], b"start", &[0; BLOCK_LEN - 5], &zeros, b"middle"].concat();
        content.resize(content.len().next_multiple_of(BLOCK_LEN), 0);
        content.extend(almost);
        let mut written = vec![0; content.len()];
        file.read_exact_at(&mut written, 0).unwrap();
        let data = file.metadata().unwrap();
        assert!(written == content && data.len() == content.len() as u64, "other bytes");
        assert!(data.blocks() * 512 < 5 << 20, "{} blocks", data.blocks());
    }
}
