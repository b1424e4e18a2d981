//! What a layer's tar entries mean for the tree: the OCI image spec's changesets.
//!
//! Nothing is unpacked: a path is a path in the tree, and content goes straight into the image.

use super::Limits;
use super::erofs::{Output, device, stored_xattrs};
use super::tree::{Directory, Kind, Meta, Refused, Tree};
use crate::{ImageError, Result};
use a3s_box_tar::{Entry, EntryKind, SparseMap, TarReader, names};
use std::io::BufRead;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files that AUFS kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// Applies layers, bottom first, to a tree whose content it writes to the image.
pub(super) struct Applier<'a> {
    tree: Tree,
    out: Output<'a>,
    limits: Limits,
    entries: u64,
    /// Bytes of names, link targets and attributes, which the tree keeps in memory.
    kept: u64,
}

impl<'a> Applier<'a> {
    pub(super) fn new(out: Output<'a>, limits: Limits) -> Self {
        Self { tree: Tree::new(), out, limits, entries: 0, kept: 0 }
    }

    /// The finished tree and the image, which now holds all content.
    pub(super) fn finish(self) -> (Tree, Output<'a>) {
        (self.tree, self.out)
    }

    /// Applies the layer whose tar is `source`; errors call it `name`.
    pub(super) fn layer(&mut self, name: &str, source: impl BufRead) -> Result<()> {
        self.tree.next_layer();
        let mut tar = TarReader::new(name, source);
        while let Some(entry) = tar.next_entry()? {
            self.account(name, &entry)?;
            let shown = String::from_utf8_lossy(&entry.path).into_owned();
            self.entry(name, entry, &mut tar)?
                .map_err(|reason| ImageError::corrupt(name, format!("entry {shown:?}: {reason}")))?;
        }
        Ok(())
    }

    fn account(&mut self, name: &str, entry: &Entry) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let limit = format!("{} entries", self.limits.entries);
            return Err(ImageError::TooLarge { thing: name.into(), limit });
        }
        let link = match &entry.kind {
            EntryKind::Symlink(target) => target.len(),
            _ => 0,
        };
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.kept += (entry.path.len() + link + xattrs) as u64;
        if self.kept > self.limits.metadata {
            return Err(ImageError::too_large(format!("the metadata of {name}"), self.limits.metadata));
        }
        if let EntryKind::File { size, .. } = entry.kind
            && size > self.limits.size.saturating_sub(self.out.position())
        {
            return Err(ImageError::too_large(format!("the unpacked {name}"), self.limits.size));
        }
        Ok(())
    }

    /// The outer error is one of reading or writing, the inner one of what the entry asks for.
    fn entry(
        &mut self,
        layer: &str,
        entry: Entry,
        tar: &mut TarReader<impl BufRead>,
    ) -> Result<Result<(), Refused>> {
        let names = match names(&entry.path) {
            Ok(names) => names,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(file) = names.last()
            && let Some(hidden) = file.strip_prefix(WHITEOUT)
        {
            return Ok(self.whiteout(&names, file, hidden));
        }
        let kind = match &entry.kind {
            EntryKind::File { size, sparse } => {
                let block = self.content(layer, *size, sparse.as_ref(), tar)?;
                Kind::File { block, size: *size }
            }
            EntryKind::HardLink(target) => return Ok(self.hard_link(&names, target)),
            other => match special(other) {
                Ok(kind) => kind,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        Ok(self.place(&names, &entry, kind))
    }

    fn place(&mut self, names: &[&[u8]], entry: &Entry, kind: Kind) -> Result<(), Refused> {
        let xattrs = stored_xattrs(&entry.xattrs)?;
        let meta = Meta { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs };
        match (names.split_last(), kind) {
            (None, Kind::Directory(_)) => self.tree.set_root(meta),
            (None, _) => return Err("the root must be a directory"),
            (Some((name, parents)), kind) => {
                let dir = self.tree.make_dir(parents)?;
                self.tree.insert(dir, name, meta, kind)?;
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, names: &[&[u8]], file: &[u8], hidden: &[u8]) -> Result<(), Refused> {
        let parents = &names[..names.len() - 1];
        if file == OPAQUE {
            if let Some(dir) = self.tree.find_dir(parents)? {
                self.tree.hide_below(dir);
            }
            return Ok(());
        }
        if file.starts_with(AUFS) {
            return Ok(());
        }
        // `.wh...` would name the parent of its own folder.
        if matches!(hidden, b"" | b"." | b"..") {
            return Err("a whiteout must hide a name");
        }
        if let Some(dir) = self.tree.find_dir(parents)? {
            self.tree.hide(dir, hidden);
        }
        Ok(())
    }

    fn hard_link(&mut self, link: &[&[u8]], target: &[u8]) -> Result<(), Refused> {
        const MISSING: &str = "it links to a file that is not there";
        let target = names(target)?;
        let (target, target_parents) = target.split_last().ok_or(MISSING)?;
        let target_dir = self.tree.find_dir(target_parents)?.ok_or(MISSING)?;
        let inode = self.tree.child(target_dir, target).ok_or(MISSING)?;
        if let Kind::Directory(_) = self.tree.inode(inode).kind {
            return Err("it links to a directory");
        }
        let (name, parents) = link.split_last().ok_or("the root must be a directory")?;
        let dir = self.tree.make_dir(parents)?;
        self.tree.link(dir, name, inode);
        Ok(())
    }

    /// Writes a file's content at the next block; the block's number.
    fn content(
        &mut self,
        layer: &str,
        size: u64,
        sparse: Option<&SparseMap>,
        tar: &mut TarReader<impl BufRead>,
    ) -> Result<u32> {
        let block = self.out.block()?;
        let whole = [(0, size)];
        let mut done = 0;
        for (offset, length) in sparse.map_or(&whole[..], SparseMap::parts) {
            self.out.zeros(offset - done)?;
            let mut left = *length;
            while left > 0 {
                let bytes = tar.fill_buf().map_err(|e| ImageError::read(layer, e))?;
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.out.write(&bytes[..count])?;
                tar.consume(count);
                left -= count as u64;
            }
            done = offset + length;
        }
        self.out.zeros(size - done)?;
        self.out.align()?;
        Ok(block)
    }
}

fn special(kind: &EntryKind) -> Result<Kind, Refused> {
    Ok(match kind {
        EntryKind::Symlink(target) if target.is_empty() => return Err("a symbolic link needs a target"),
        EntryKind::Symlink(target) => Kind::Symlink(target.as_slice().into()),
        EntryKind::CharDevice { major, minor } => Kind::CharDevice(device(*major, *minor)?),
        EntryKind::BlockDevice { major, minor } => Kind::BlockDevice(device(*major, *minor)?),
        EntryKind::Fifo => Kind::Fifo,
        EntryKind::Directory | EntryKind::File { .. } | EntryKind::HardLink(_) => {
            Kind::Directory(Directory::default())
        }
    })
}
