//! Where everything but file content goes, and writing it there.
//!
//! Directory blocks follow the content, then come the inodes, level by level, each directory's children side
//! by side. An inode is known by its place: the number of 32-byte slots from the start of the inodes.

use super::dir::{self, Name};
use super::inode::{self, Content, Facts};
use super::{BLOCK, Output};
use crate::rootfs::tree::{Directory, InodeId, Kind, Tree};
use crate::{ImageError, Result};
use a3s_box_tar::Mtime;
use std::collections::HashMap;

const SLOT: u64 = inode::COMPACT as u64;

/// Where one inode is.
#[derive(Clone, Copy)]
struct Place {
    nid: u64,
    nlink: u32,
    /// For a directory, the one that holds it.
    parent: InodeId,
    /// Of directories and symbolic links; files know theirs.
    block: u32,
    size: u64,
    content: Content,
}

/// A plan of the image.
pub(super) struct Layout<'t> {
    tree: &'t Tree,
    /// The inodes that have a name, in the order of their places.
    order: Vec<InodeId>,
    /// By inode; those without a name have no links.
    places: Vec<Place>,
    epoch: Mtime,
    first_block: u64,
    meta_block: u32,
}

impl<'t> Layout<'t> {
    /// The root's place. Not the first: programs take inode number 0 for a deleted file.
    pub(super) const ROOT_NID: u16 = 2;

    /// Plans the image of `tree`, whose content ends where `first_block` begins.
    pub(super) fn plan(tree: &'t Tree, first_block: u64) -> Result<Self> {
        let nowhere =
            Place { nid: 0, nlink: 0, parent: InodeId::ROOT, block: 0, size: 0, content: Content::Plain };
        let places = vec![nowhere; tree.inodes().len()];
        let epoch = Mtime::default();
        let mut layout = Self { tree, order: Vec::new(), places, epoch, first_block, meta_block: 0 };
        layout.count_links();
        layout.choose_epoch();
        layout.place_blocks()?;
        layout.place_inodes();
        Ok(layout)
    }

    /// How many inodes the image has.
    pub(super) fn inodes(&self) -> u64 {
        self.order.len() as u64
    }

    /// The time of every compact inode.
    pub(super) fn epoch(&self) -> Mtime {
        self.epoch
    }

    /// The block in which the inodes begin.
    pub(super) fn meta_block(&self) -> u32 {
        self.meta_block
    }

    /// Walks the tree level by level: the order, the number of names of each inode, and the parents.
    fn count_links(&mut self) {
        self.order.push(InodeId::ROOT);
        self.places[InodeId::ROOT.index()].nlink = 2;
        let mut next = 0;
        while let Some(id) = self.order.get(next).copied() {
            next += 1;
            let Kind::Directory(directory) = &self.tree.inode(id).kind else { continue };
            for link in directory.entries.values() {
                let child = &mut self.places[link.inode.index()];
                child.nlink += 1;
                if child.nlink == 1 {
                    self.order.push(link.inode);
                }
                if let Kind::Directory(_) = self.tree.inode(link.inode).kind {
                    child.nlink = 2;
                    child.parent = id;
                    self.places[id.index()].nlink += 1;
                }
            }
        }
    }

    /// The most frequent modification time, and the earliest of those, so that most inodes are compact.
    fn choose_epoch(&mut self) {
        let mut counts: HashMap<Mtime, usize> = HashMap::new();
        for id in &self.order {
            *counts.entry(self.tree.inode(*id).meta.mtime).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(mtime, count)| (*count, std::cmp::Reverse(*mtime)));
        self.epoch = most.map(|(mtime, _)| mtime).unwrap_or_default();
    }

    /// Gives directories and long symbolic links their blocks.
    fn place_blocks(&mut self) -> Result<()> {
        let mut block = self.first_block;
        for id in &self.order {
            let inode = self.tree.inode(*id);
            let size = match &inode.kind {
                Kind::Directory(directory) => dir::size(&self.names(*id, directory)),
                Kind::Symlink(target) => target.len() as u64,
                Kind::File { size, .. } => *size,
                Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo => 0,
            };
            let place = &mut self.places[id.index()];
            place.size = size;
            if let Kind::Directory(_) | Kind::Symlink(_) = inode.kind {
                let head = inode::head(inode, size, place.nlink, self.epoch) as u64;
                let rest = size % BLOCK;
                // The kernel wants inode, attributes and rest within one block.
                let inline = rest > 0 && head + rest <= BLOCK;
                place.content = if inline { Content::Inline } else { Content::Plain };
                place.block = block_number(block)?;
                block += if inline { size / BLOCK } else { size.div_ceil(BLOCK) };
            }
        }
        self.meta_block = block_number(block)?;
        Ok(())
    }

    fn place_inodes(&mut self) {
        let mut end = u64::from(Self::ROOT_NID) * SLOT;
        for id in &self.order {
            let place = &mut self.places[id.index()];
            let mut length = inode::head(self.tree.inode(*id), place.size, place.nlink, self.epoch) as u64;
            if place.content == Content::Inline {
                length += place.size % BLOCK;
                if end % BLOCK + length > BLOCK {
                    end = end.next_multiple_of(BLOCK);
                }
            }
            place.nid = end / SLOT;
            end = (end + length).next_multiple_of(SLOT);
        }
    }

    /// A directory's names in order, with those of itself and its parent.
    fn names(&self, id: InodeId, directory: &'t Directory) -> Vec<Name<'t>> {
        let name = |name, inode: InodeId| Name {
            name,
            nid: self.places[inode.index()].nid,
            kind: inode::file_type(&self.tree.inode(inode).kind),
        };
        let mut names: Vec<_> = directory.entries.iter().map(|(n, link)| name(&**n, link.inode)).collect();
        for (dots, inode) in [(&b"."[..], id), (b"..", self.places[id.index()].parent)] {
            let place = names.partition_point(|name| name.name < dots);
            names.insert(place, name(dots, inode));
        }
        names
    }

    /// Writes directory blocks and inodes.
    pub(super) fn write(&self, out: &mut Output<'_>) -> Result<()> {
        for id in &self.order {
            let place = &self.places[id.index()];
            let whole =
                if place.content == Content::Plain { place.size } else { place.size - place.size % BLOCK };
            match &self.tree.inode(*id).kind {
                Kind::Directory(directory) if whole > 0 => {
                    let names = self.names(*id, directory);
                    let blocks = dir::blocks(&names);
                    for block in &blocks[..usize::try_from(whole.div_ceil(BLOCK)).unwrap_or(usize::MAX)] {
                        out.write(&dir::encode(&names[block.clone()]))?;
                        out.align()?;
                    }
                }
                Kind::Symlink(target) if whole > 0 => {
                    out.write(target)?;
                    out.align()?;
                }
                _ => {}
            }
        }
        let start = out.position();
        for (number, id) in self.order.iter().enumerate() {
            let place = &self.places[id.index()];
            out.zeros(start + place.nid * SLOT - out.position())?;
            self.write_inode(*id, number, out)?;
        }
        Ok(())
    }

    fn write_inode(&self, id: InodeId, number: usize, out: &mut Output<'_>) -> Result<()> {
        let inode = self.tree.inode(id);
        let place = &self.places[id.index()];
        let at = match &inode.kind {
            Kind::File { block, .. } => *block,
            Kind::CharDevice(device) | Kind::BlockDevice(device) => *device,
            _ => place.block,
        };
        // At most 2^32 inodes are in a tree; their numbers start at 1.
        let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let facts = Facts { content: place.content, size: place.size, place: at, number, nlink: place.nlink };
        out.write(&inode::encode(inode, &facts, self.epoch))?;
        if place.content == Content::Plain {
            return Ok(());
        }
        match &inode.kind {
            Kind::Directory(directory) => {
                let names = self.names(id, directory);
                let last = dir::blocks(&names).pop().unwrap_or_default();
                out.write(&dir::encode(&names[last]))
            }
            Kind::Symlink(target) => out.write(target),
            _ => Ok(()),
        }
    }
}

fn block_number(block: u64) -> Result<u32> {
    u32::try_from(block).map_err(|_| ImageError::too_large("the rootfs image", 1 << 44))
}
