//! The guest's initramfs: the one that is shared, and behind it one that holds this box's `boot.json`.
//!
//! The kernel unpacks concatenated archives one after the other (kernel docs, early-userspace/buffer-format).

use crate::sys;
use a3s_box_core::ShimSpec;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// An anonymous file with the shared initramfs and then an archive with `boot.json`; read from its beginning.
pub(crate) fn initramfs(spec: &ShimSpec) -> io::Result<OwnedFd> {
    concatenate(&spec.initramfs, &serde_json::to_vec(&spec.boot)?)
}

fn concatenate(shared: &Path, boot_json: &[u8]) -> io::Result<OwnedFd> {
    let mut file = sys::anonymous("initramfs")?;
    let copied = io::copy(&mut File::open(shared)?, &mut file)?;
    // The kernel looks for the next archive at a multiple of four bytes.
    let padding = usize::try_from(copied.next_multiple_of(4) - copied).unwrap_or(0);
    file.write_all(&[0; 4][..padding])?;
    file.write_all(&archive("boot.json", boot_json)?)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// A newc archive with one file that only root may read.
fn archive(name: &str, data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() + 512);
    entry(&mut out, name, 0o100_400, data)?;
    entry(&mut out, "TRAILER!!!", 0, &[])?;
    Ok(out)
}

fn entry(out: &mut Vec<u8>, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
    let size = u32::try_from(data.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let name_size = u32::try_from(name.len() + 1).map_err(|_| io::ErrorKind::InvalidInput)?;
    // ino, mode, uid, gid, nlink, mtime, size, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    let fields = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    write!(out, "070701")?;
    for field in fields {
        write!(out, "{field:08X}")?;
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_second_archive_begins_aligned_and_is_a_valid_cpio() {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        std::fs::write(&shared, b"12345").unwrap();
        let mut bytes = Vec::new();
        File::from(concatenate(&shared, b"{\"x\":1}").unwrap()).read_to_end(&mut bytes).unwrap();
        assert_eq!(&bytes[..8], b"12345\0\0\0");
        let header = std::str::from_utf8(&bytes[8..8 + 110]).unwrap();
        assert_eq!(&header[..6], "070701");
        assert_eq!(&header[14..22], "00008100", "a regular file of mode 0400");
        assert_eq!(&header[54..62], "00000007", "of seven bytes");
        assert_eq!(&bytes[118..128], b"boot.json\0");
        assert_eq!(&bytes[128..135], b"{\"x\":1}");
        assert!(bytes.len().is_multiple_of(4));
    }
}
