//! What the guest has open.

use rustix::fd::OwnedFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that is open.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) fd: OwnedFd,
    /// Of a folder: one request at a time moves it.
    pub(crate) place: Mutex<Place>,
}

/// How far a folder has been read.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// What comes after the last entry that the guest was told of.
    pub(crate) offset: u64,
    /// Entries that the descriptor has given already and the guest was not told of.
    pub(crate) ahead: VecDeque<Entry>,
}

/// One of a folder's.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) inode: u64,
    /// What comes after it.
    pub(crate) next: u64,
    pub(crate) kind: FileType,
    pub(crate) name: CString,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<u64, Arc<Handle>>,
    next: u64,
}

/// All of it, by the numbers that the guest has.
#[derive(Debug)]
pub(crate) struct Handles {
    table: Mutex<Table>,
    most: usize,
}

impl Handles {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: Mutex::default(), most: most.max(16) }
    }

    /// The number for something that was opened.
    ///
    /// # Errors
    /// `ENFILE` for too many.
    pub(crate) fn add(&self, fd: OwnedFd) -> Result<u64, Errno> {
        let mut table = self.lock();
        if table.open.len() >= self.most {
            return Err(Errno::NFILE);
        }
        table.next += 1;
        let number = table.next;
        table.open.insert(number, Arc::new(Handle { fd, place: Mutex::default() }));
        Ok(number)
    }

    /// What has this number.
    ///
    /// # Errors
    /// `EBADF` for nothing.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<Handle>, Errno> {
        self.lock().open.get(&number).cloned().ok_or(Errno::BADF)
    }

    /// Closes it, when nobody works with it any more.
    pub(crate) fn remove(&self, number: u64) {
        let gone = self.lock().open.remove(&number);
        // Closing may take its time, and the lock is free meanwhile.
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
