//! epoll(7).

use super::{Ready, Source};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The epoll instance.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
    /// Numbers given out so far.
    ids: u64,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256), ids: 0 })
    }

    /// A number for a source, which no other has or had.
    pub(crate) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Tells of every change of `fd`, until it is closed.
    pub(crate) fn watch(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(source.pack()), flags)?)
    }

    /// Tells as long as `fd` has something to read.
    pub(crate) fn watch_input(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(source.pack()), EventFlags::IN)?)
    }

    /// Tells of `fd` no more.
    pub(crate) fn forget(&self, fd: impl AsFd) {
        // It fails only for what is not watched.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for something to happen, at most `patience`.
    pub(crate) fn wait(&mut self, patience: Option<Duration>) -> io::Result<Vec<(Source, Ready)>> {
        let timeout = patience.and_then(|p| p.try_into().ok());
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let failed = EventFlags::ERR | EventFlags::HUP;
        Ok(self
            .events
            .iter()
            .map(|event| {
                let flags = event.flags;
                let ready = Ready {
                    read: flags.intersects(EventFlags::IN | EventFlags::RDHUP | failed),
                    write: flags.intersects(EventFlags::OUT | failed),
                };
                (Source::unpack(event.data.u64()), ready)
            })
            .collect())
    }
}
