//! kqueue(2) with `EVFILT_VNODE`: of a folder, which tells what comes and goes, and of each file in it, which tells what is
//! written.

use rustix::event::kqueue::{Event, EventFilter, EventFlags, VnodeEvents, kevent, kqueue};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What can be read, as poll(2) has it, once something was written in a folder, or has come into it.
pub(crate) struct Watch {
    queue: OwnedFd,
    folder: PathBuf,
    /// What is watched. The kernel forgets what is closed.
    open: RefCell<Vec<File>>,
}

impl Watch {
    /// Begins to watch `folder`.
    ///
    /// # Errors
    /// Those of open(2) and kevent(2).
    pub(crate) fn folder(folder: &Path) -> io::Result<Self> {
        let watch = Self { queue: kqueue()?, folder: folder.to_owned(), open: RefCell::default() };
        watch.add(folder)?;
        watch.clear();
        Ok(watch)
    }

    /// Waits for what happens from now on.
    pub(crate) fn clear(&self) {
        // With the descriptors go the events. The folder stays, its events are taken.
        self.open.borrow_mut().truncate(1);
        let mut events = Vec::with_capacity(16);
        // SAFETY: every descriptor in the queue is open, or forgotten by the kernel.
        let _ = unsafe {
            let room = rustix::buffer::spare_capacity(&mut events);
            kevent(&self.queue, &[], room, Some(Duration::ZERO))
        };
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                // One that has gone meanwhile is not written any more.
                drop(self.add(&entry.path()));
            }
        }
    }

    fn add(&self, path: &Path) -> io::Result<()> {
        let file = File::options().read(true).custom_flags(libc::O_EVTONLY | libc::O_NOFOLLOW).open(path)?;
        let filter = EventFilter::Vnode { vnode: file.as_raw_fd(), flags: VnodeEvents::WRITE };
        let event = Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, std::ptr::null_mut());
        let mut none: [Event; 0] = [];
        // SAFETY: the descriptor is open, and the kernel forgets it when it is closed.
        unsafe { kevent(&self.queue, &[event], &mut none[..], Some(Duration::ZERO)) }?;
        self.open.borrow_mut().push(file);
        Ok(())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
