//! The inodes that the guest knows, by the numbers that it has for them.
//!
//! Each has a descriptor that leads nowhere, so it stays the same inode whatever happens to names. Descriptors are
//! limited: those that were not used for long are closed, and opened again by folder and name when they are needed; what
//! is found there must still be the same inode.

use crate::wire::ROOT;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most that are remembered; each takes some two hundred bytes.
const MOST: usize = 1 << 19;
/// The deepest that a folder may lie which has to be found again.
const DEEPEST: usize = 256;
/// One name in a folder leads to what is there, and to nothing else.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const LEADS_NOWHERE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// Which inode: device, number, and when it was made, since numbers are given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u32, u32, u64, i64, u32);

impl Key {
    pub(crate) fn of(stat: &Statx) -> Self {
        let born = &stat.stx_btime;
        Self(stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino, born.tv_sec, born.tv_nsec)
    }

    /// Whether it is the inode of this device and number.
    pub(crate) fn is(&self, (major, minor, inode): (u32, u32, u64)) -> bool {
        (self.0, self.1, self.2) == (major, minor, inode)
    }
}

/// What is known of `fd`.
pub(crate) fn stat(fd: impl AsFd) -> Result<Statx, Errno> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW, WANTED)
}

/// What is called `name` in `folder`.
pub(crate) fn find(folder: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(folder, name, LEADS_NOWHERE, Mode::empty(), RESOLVE)
}

/// Of what kind it is.
pub(crate) fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// An inode that is in use.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) kind: FileType,
}

struct Node {
    key: Key,
    kind: FileType,
    /// Where it was seen last.
    folder: u64,
    name: CString,
    fd: Option<Arc<OwnedFd>>,
    /// How often the guest was told of it and has not forgotten it.
    told: u64,
    used: u64,
    /// It has no name any more by which it could be found again.
    nameless: bool,
}

struct Table {
    nodes: HashMap<u64, Node>,
    by_key: HashMap<Key, u64>,
    next: u64,
    open: usize,
    clock: u64,
}

/// All of them.
pub(crate) struct Nodes {
    table: Mutex<Table>,
    most_open: usize,
}

impl Nodes {
    /// Those below `root`, with at most `most_open` descriptors.
    pub(crate) fn below(root: OwnedFd, most_open: usize) -> Result<Self, Errno> {
        let stat = stat(&root)?;
        let (key, kind) = (Key::of(&stat), kind(&stat));
        let root = Node {
            key,
            kind,
            folder: ROOT,
            name: CString::default(),
            fd: Some(Arc::new(root)),
            told: 1,
            used: 0,
            nameless: true,
        };
        let table = Table {
            nodes: HashMap::from([(ROOT, root)]),
            by_key: HashMap::from([(key, ROOT)]),
            next: ROOT + 1,
            open: 1,
            clock: 0,
        };
        Ok(Self { table: Mutex::new(table), most_open: most_open.max(16) })
    }

    /// The inode that the guest has the number `node` for.
    ///
    /// # Errors
    /// `ENOENT` for a number that it was not told, `ESTALE` for an inode that is where it was no more.
    pub(crate) fn get(&self, node: u64) -> Result<Inode, Errno> {
        self.get_below(node, DEEPEST)
    }

    /// The same, of a folder.
    pub(crate) fn folder(&self, node: u64) -> Result<Arc<OwnedFd>, Errno> {
        let inode = self.get(node)?;
        if inode.kind == FileType::Directory { Ok(inode.fd) } else { Err(Errno::NOTDIR) }
    }

    fn get_below(&self, node: u64, deepest: usize) -> Result<Inode, Errno> {
        let (folder, name, key, kind) = {
            let mut table = self.lock();
            table.clock += 1;
            let clock = table.clock;
            let known = table.nodes.get_mut(&node).ok_or(Errno::NOENT)?;
            known.used = clock;
            if let Some(fd) = &known.fd {
                return Ok(Inode { fd: Arc::clone(fd), kind: known.kind });
            }
            (known.folder, known.name.clone(), known.key, known.kind)
        };
        let deepest = deepest.checked_sub(1).ok_or(Errno::STALE)?;
        let folder = self.get_below(folder, deepest)?;
        let found = find(&folder.fd, &name).map_err(|_| Errno::STALE)?;
        if Key::of(&stat(&found)?) != key {
            return Err(Errno::STALE);
        }
        let fd = Arc::new(found);
        let mut table = self.lock();
        table.keep_open(node, &fd, self.most_open);
        Ok(Inode { fd, kind })
    }

    /// Tells the guest of an inode that was found as `name` in `folder`: its number.
    ///
    /// # Errors
    /// `ENFILE` where it has been told of too many.
    pub(crate) fn tell(&self, folder: u64, name: &CStr, fd: OwnedFd, stat: &Statx) -> Result<u64, Errno> {
        let (key, kind) = (Key::of(stat), kind(stat));
        let mut table = self.lock();
        let table = &mut *table;
        table.clock += 1;
        let node = match table.by_key.entry(key) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if table.nodes.len() >= MOST => return Err(Errno::NFILE),
            Entry::Vacant(new) => {
                let node = *new.insert(table.next);
                table.next += 1;
                let fresh = Node {
                    key,
                    kind,
                    folder,
                    name: name.to_owned(),
                    fd: None,
                    told: 0,
                    used: table.clock,
                    nameless: false,
                };
                table.nodes.insert(node, fresh);
                node
            }
        };
        let known = table.nodes.get_mut(&node).ok_or(Errno::IO)?;
        known.told = known.told.saturating_add(1);
        if node != ROOT {
            (known.folder, known.nameless, known.used) = (folder, false, table.clock);
            if known.name.as_c_str() != name {
                name.clone_into(&mut known.name);
            }
        }
        table.keep_open(node, &Arc::new(fd), self.most_open);
        Ok(node)
    }

    /// The guest has forgotten an inode, as often as it was told of it `count` times.
    pub(crate) fn forget(&self, node: u64, count: u64) {
        if node == ROOT {
            return;
        }
        let mut table = self.lock();
        let table = &mut *table;
        if let Entry::Occupied(mut known) = table.nodes.entry(node) {
            known.get_mut().told = known.get().told.saturating_sub(count);
            if known.get().told == 0 {
                let gone = known.remove();
                table.open -= usize::from(gone.fd.is_some());
                table.by_key.remove(&gone.key);
            }
        }
    }

    /// Before a name goes: an inode that may have no other is kept open, since nothing else leads to it.
    pub(crate) fn keep(&self, fd: OwnedFd, key: Key) {
        let mut table = self.lock();
        let table = &mut *table;
        if let Some(node) = table.by_key.get(&key).copied()
            && let Some(known) = table.nodes.get_mut(&node)
        {
            known.nameless = true;
            if known.fd.is_none() {
                known.fd = Some(Arc::new(fd));
                table.open += 1;
            }
        }
    }

    /// Whether descriptors were closed that may have to be opened again.
    pub(crate) fn some_are_closed(&self) -> bool {
        let table = self.lock();
        table.open < table.nodes.len()
    }

    /// An inode is called `name` in `folder` now.
    pub(crate) fn renamed(&self, key: Key, folder: u64, name: &CStr) {
        let mut table = self.lock();
        let table = &mut *table;
        if let Some(node) = table.by_key.get(&key).copied()
            && node != ROOT
            && let Some(known) = table.nodes.get_mut(&node)
        {
            (known.folder, known.name) = (folder, name.to_owned());
        }
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let table = self.lock();
        (table.nodes.len(), table.open)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Keeps a descriptor of `node`, and closes others where there are too many.
    fn keep_open(&mut self, node: u64, fd: &Arc<OwnedFd>, most: usize) {
        let Some(known) = self.nodes.get_mut(&node) else { return };
        if known.fd.is_some() {
            return;
        }
        known.fd = Some(Arc::clone(fd));
        self.open += 1;
        if self.open > most {
            self.close_some(most);
        }
    }

    /// Closes those that were not used for the longest time, an eighth of what may be open.
    fn close_some(&mut self, most: usize) {
        let mut used: Vec<u64> = self.nodes.values().filter(|n| n.is_closable()).map(|n| n.used).collect();
        if used.is_empty() {
            return;
        }
        let at = (most / 8).min(used.len() - 1);
        let (_, limit, _) = used.select_nth_unstable(at);
        let limit = *limit;
        for node in self.nodes.values_mut().filter(|n| n.is_closable() && n.used <= limit) {
            node.fd = None;
            self.open -= 1;
        }
    }
}

impl Node {
    fn is_closable(&self) -> bool {
        self.fd.is_some() && !self.nameless
    }
}
