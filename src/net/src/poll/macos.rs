//! kqueue(2).

use super::{Ready, Source};
use crate::sys;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, kqueue};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// The kqueue.
pub(crate) struct Poll {
    queue: OwnedFd,
    events: Vec<Event>,
    /// Numbers given out so far.
    ids: u64,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { queue: kqueue()?, events: Vec::with_capacity(256), ids: 0 })
    }

    /// A number for a source, which no other has or had.
    pub(crate) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Tells of every change of `fd`, until it is closed.
    pub(crate) fn watch(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let (fd, flags) = (fd.as_fd().as_raw_fd(), EventFlags::ADD | EventFlags::CLEAR);
        self.change(EventFilter::Read(fd), flags, source)?;
        self.change(EventFilter::Write(fd), flags, source)
    }

    /// Tells as long as `fd` has something to read.
    pub(crate) fn watch_input(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        self.change(EventFilter::Read(fd.as_fd().as_raw_fd()), EventFlags::ADD, source)
    }

    /// Tells of `fd` no more.
    pub(crate) fn forget(&self, fd: impl AsFd) {
        let fd = fd.as_fd().as_raw_fd();
        for filter in [EventFilter::Read(fd), EventFilter::Write(fd)] {
            // It fails only for what is not watched.
            let _ = self.change(filter, EventFlags::DELETE, Source::End);
        }
    }

    fn change(&self, filter: EventFilter, flags: EventFlags, source: Source) -> io::Result<()> {
        // What comes back with the event is a number, and never used as a pointer.
        let data = usize::try_from(source.pack()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let event = Event::new(filter, flags, ptr::without_provenance_mut(data));
        Ok(sys::kevent(&self.queue, &[event], &mut Vec::new(), Some(Duration::ZERO))?)
    }

    /// Waits for something to happen, at most `patience`.
    pub(crate) fn wait(&mut self, patience: Option<Duration>) -> io::Result<Vec<(Source, Ready)>> {
        self.events.clear();
        match sys::kevent(&self.queue, &[], &mut self.events, patience) {
            Ok(()) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let told = self.events.iter().map(|event| {
            let writes = matches!(event.filter(), EventFilter::Write(_));
            // Where nothing more can be written, the next read tells why.
            let ready = Ready { read: !writes || event.flags().contains(EventFlags::EOF), write: writes };
            (Source::unpack(event.udata().addr() as u64), ready)
        });
        Ok(told.collect())
    }
}
