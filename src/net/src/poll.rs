//! What the network waits for: one epoll instance, or kqueue, and what its events are about.

#[cfg(target_os = "linux")]
#[path = "poll/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "poll/macos.rs"]
mod system;

pub(crate) use system::Poll;

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
