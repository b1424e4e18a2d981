//! One epoll instance, and what its events are about.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What an event is about. Numbers are never used twice, so an event that comes late finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The VMM's stream.
    Link,
    /// The stack is to end.
    End,
    /// The host's end of a TCP flow.
    Tcp(u64),
    /// The host's end of a UDP flow.
    Udp(u64),
    /// A ping socket.
    Ping(u64),
    /// A published TCP port.
    TcpPort(u64),
    /// A published UDP port.
    UdpPort(u64),
    /// A query on its way to a resolver.
    Resolver(u64),
    /// A DNS client of the guest's that speaks TCP.
    DnsClient(u64),
    /// The socket on which boxes of a network reach this one.
    Neighbours(u64),
    /// One of them, before it has said what it wants.
    Caller(u64),
    /// The box's side of a connection that may need secrets.
    SecretGuest(u64),
    /// The host's side of one.
    SecretHost(u64),
}

const KIND_SHIFT: u32 = 56;

impl Source {
    fn pack(self) -> u64 {
        let (kind, id) = match self {
            Self::Link => (0, 0),
            Self::End => (1, 0),
            Self::Tcp(id) => (2, id),
            Self::Udp(id) => (3, id),
            Self::Ping(id) => (4, id),
            Self::TcpPort(id) => (5, id),
            Self::UdpPort(id) => (6, id),
            Self::Resolver(id) => (7, id),
            Self::DnsClient(id) => (8, id),
            Self::Neighbours(id) => (9, id),
            Self::Caller(id) => (10, id),
            Self::SecretGuest(id) => (11, id),
            Self::SecretHost(id) => (12, id),
        };
        kind << KIND_SHIFT | id
    }

    fn unpack(packed: u64) -> Self {
        let id = packed & ((1 << KIND_SHIFT) - 1);
        match packed >> KIND_SHIFT {
            0 => Self::Link,
            2 => Self::Tcp(id),
            3 => Self::Udp(id),
            4 => Self::Ping(id),
            5 => Self::TcpPort(id),
            6 => Self::UdpPort(id),
            7 => Self::Resolver(id),
            8 => Self::DnsClient(id),
            9 => Self::Neighbours(id),
            10 => Self::Caller(id),
            11 => Self::SecretGuest(id),
            12 => Self::SecretHost(id),
            _ => Self::End,
        }
    }
}

/// What can be done with a source now. An error counts as both: the next read or write tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

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
