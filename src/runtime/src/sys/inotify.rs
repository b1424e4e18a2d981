//! inotify(7).

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What can be read, as poll(2) has it, once something was written in a folder, or has come into it.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    /// Begins to watch `folder`.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2).
    pub(crate) fn folder(folder: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, folder, WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CREATE)?;
        Ok(Self(watch))
    }

    /// Waits for what happens from now on.
    pub(crate) fn clear(&self) {
        let mut events = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut events);
        while reader.next().is_ok() {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
