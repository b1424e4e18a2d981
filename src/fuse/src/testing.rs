//! A guest made by hand: it writes messages as a kernel does, or as none would.

use crate::reply::Reply;
use crate::share::{Export, Identity, Owner, Share};
use crate::wire::{IN_HEADER, OUT_HEADER, ROOT, opcode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// Whom the box of these tests runs as.
pub(crate) const OWNER: Owner = Owner { uid: 1234, gid: 5678 };

pub(crate) struct Guest {
    pub(crate) share: Share,
}

/// What `LOOKUP` and its like answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) node: u64,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) ids: (u32, u32),
}

pub(crate) fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
}

pub(crate) fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
}

/// Numbers of four bytes, one after the other.
pub(crate) fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
}

/// Numbers of eight bytes, one after the other.
pub(crate) fn longs(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
}

fn text(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}

/// `struct fuse_attr` at `at`.
fn attr(bytes: &[u8], at: usize) -> (u64, u32, (u32, u32)) {
    (number64(bytes, at + 8), number32(bytes, at + 60), (number32(bytes, at + 68), number32(bytes, at + 72)))
}

fn known(bytes: &[u8]) -> Known {
    let (size, mode, ids) = attr(bytes, 40);
    Known { node: number64(bytes, 0), size, mode, ids }
}

pub(crate) fn message(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(IN_HEADER + body.len()).unwrap();
    [words(&[length, opcode]), longs(&[77, node, 0, 0]), body.to_vec()].concat()
}

impl Guest {
    pub(crate) fn of(folder: &Path) -> Self {
        Self::with(folder, false, None, 4096)
    }

    pub(crate) fn with(folder: &Path, read_only: bool, hidden: Option<Identity>, descriptors: usize) -> Self {
        let root = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let share = Share::new(Export { root, read_only, hidden, descriptors }).unwrap();
        share.set_owner(OWNER);
        let guest = Self { share };
        let init = guest.call(opcode::INIT, 0, &words(&[7, 40, 1 << 17, u32::MAX, 0, 0])).unwrap();
        assert_eq!((number32(&init, 0), number32(&init, 4), init.len()), (7, 38, 64));
        guest
    }

    /// Sends any bytes; none is an answer that was not wanted.
    pub(crate) fn send(&self, message: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let mut reply = Reply::new();
        self.share.answer(message, &mut reply).map(|answer| answer.map(<[u8]>::to_vec))
    }

    /// What follows the header of the answer.
    pub(crate) fn call(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let answer = self.send(&message(opcode, node, body)).unwrap().expect("an answer");
        assert_eq!(number64(&answer, 8), 77);
        assert_eq!(usize::try_from(number32(&answer, 0)).unwrap(), answer.len());
        match number32(&answer, 4).cast_signed() {
            0 => Ok(answer[OUT_HEADER..].to_vec()),
            error => {
                assert_eq!(answer.len(), OUT_HEADER);
                Err(Errno::from_raw_os_error(-error))
            }
        }
    }

    pub(crate) fn lookup(&self, folder: u64, name: &str) -> Result<Known, Errno> {
        self.call(opcode::LOOKUP, folder, &text(name.as_bytes())).map(|bytes| known(&bytes))
    }

    /// What lies at a path of single names.
    pub(crate) fn walk(&self, path: &str) -> Result<Known, Errno> {
        let mut at = Known { node: ROOT, size: 0, mode: 0, ids: (0, 0) };
        for name in path.split('/') {
            at = self.lookup(at.node, name)?;
        }
        Ok(at)
    }

    pub(crate) fn forget(&self, node: u64, count: u64) {
        assert_eq!(self.send(&message(opcode::FORGET, node, &longs(&[count]))), Ok(None));
    }

    /// Size, mode and owners.
    pub(crate) fn stat(&self, node: u64) -> Result<(u64, u32, (u32, u32)), Errno> {
        self.call(opcode::GETATTR, node, &longs(&[0, 0])).map(|bytes| attr(&bytes, 16))
    }

    /// A request that names something in a folder after `body`.
    pub(crate) fn named(&self, opcode: u32, folder: u64, body: &[u8], name: &str) -> Result<Vec<u8>, Errno> {
        self.call(opcode, folder, &[body, &text(name.as_bytes())].concat())
    }

    pub(crate) fn open(&self, node: u64, flags: OFlags) -> Result<u64, Errno> {
        self.call(opcode::OPEN, node, &words(&[flags.bits(), 0])).map(|bytes| number64(&bytes, 0))
    }

    /// The node and the handle.
    pub(crate) fn create(
        &self,
        folder: u64,
        name: &str,
        flags: OFlags,
        mode: u32,
    ) -> Result<(Known, u64), Errno> {
        let answer = self.named(opcode::CREATE, folder, &words(&[flags.bits(), mode, 0, 0]), name)?;
        Ok((known(&answer), number64(&answer, 128)))
    }

    pub(crate) fn read(&self, handle: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let body = [longs(&[handle, offset]), words(&[size, 0]), longs(&[0, 0])].concat();
        self.call(opcode::READ, 0, &body)
    }

    pub(crate) fn write(&self, handle: u64, offset: u64, flags: OFlags, data: &[u8]) -> Result<u32, Errno> {
        let size = u32::try_from(data.len()).unwrap();
        let how = [words(&[size, 0]), longs(&[0]), words(&[flags.bits(), 0])].concat();
        let body = [longs(&[handle, offset]), how, data.to_vec()].concat();
        self.call(opcode::WRITE, 0, &body).map(|bytes| number32(&bytes, 0))
    }

    pub(crate) fn rename(&self, from: (u64, &str), to: (u64, &str), flags: u32) -> Result<(), Errno> {
        let head = [longs(&[to.0]), words(&[flags, 0])].concat();
        let body = [head, text(from.1.as_bytes()), text(to.1.as_bytes())].concat();
        self.call(opcode::RENAME2, from.0, &body).map(drop)
    }

    /// `valid`, mode, user and group, size.
    pub(crate) fn change(
        &self,
        node: u64,
        valid: u32,
        mode: u32,
        ids: (u32, u32),
        size: u64,
    ) -> Result<(), Errno> {
        let head = [words(&[valid, 0]), longs(&[0, size, 0, 5, 6, 0])].concat();
        let body = [head, words(&[7, 8, 0, mode, 0, ids.0, ids.1, 0])].concat();
        self.call(opcode::SETATTR, node, &body).map(drop)
    }

    /// The names in a folder, read with or without attributes, a few at a time.
    pub(crate) fn list(&self, folder: u64, plus: bool) -> Result<Vec<String>, Errno> {
        self.list_and(folder, plus, |_| {})
    }

    /// As [`Self::list`], doing something with each name before more is read.
    pub(crate) fn list_and(
        &self,
        folder: u64,
        plus: bool,
        mut and: impl FnMut(&str),
    ) -> Result<Vec<String>, Errno> {
        let opened = self.call(opcode::OPENDIR, folder, &words(&[0, 0]))?;
        let handle = number64(&opened, 0);
        let (opcode, before) = if plus { (opcode::READDIRPLUS, 128) } else { (opcode::READDIR, 0) };
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let body = [longs(&[handle, offset]), words(&[600, 0]), longs(&[0, 0])].concat();
            let entries = self.call(opcode, folder, &body)?;
            assert!(entries.len() <= 600);
            if entries.is_empty() {
                break;
            }
            let mut at = 0;
            while at < entries.len() {
                let length = usize::try_from(number32(&entries, at + before + 16)).unwrap();
                offset = number64(&entries, at + before + 8);
                let name = &entries[at + before + 24..][..length];
                let name = String::from_utf8(name.to_vec()).unwrap();
                and(&name);
                names.push(name);
                if before > 0 && number64(&entries, at) != 0 {
                    self.forget(number64(&entries, at), 1);
                }
                at += (before + 24 + length).next_multiple_of(8);
            }
        }
        self.call(opcode::RELEASEDIR, folder, &[longs(&[handle]), words(&[0, 0]), longs(&[0])].concat())?;
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }
}
