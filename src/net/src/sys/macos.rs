//! Sockets and wakers as macOS makes them: what they are is told to them afterwards.
#![allow(unsafe_code, reason = "kevent has no safe form")]

use rustix::event::kqueue::{self, Event};
use rustix::io::{FdFlags, Result, fcntl_setfd, ioctl_fionbio};
use rustix::net::{
    AddressFamily, Protocol, SendFlags, SocketAddrAny, SocketFlags, SocketType, acceptfrom, sockopt,
};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// There is no such flag: the socket is told instead.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();

fn ours(socket: OwnedFd) -> Result<OwnedFd> {
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}

/// A socket that nobody waits for, no program inherits, and no signal comes from.
pub(crate) fn socket(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd> {
    ours(rustix::net::socket(family, kind, protocol)?)
}

/// The next connection, as [`socket`].
pub(crate) fn accept(listener: &OwnedFd) -> Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (socket, peer) = acceptfrom(listener)?;
    Ok((ours(socket)?, peer))
}

/// Two ends of a connection inside this process, as [`socket`].
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let (one, other) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
    Ok((ours(one)?, ours(other)?))
}

/// Where eight bytes are written to wake somebody, and where that one looks (pipe(2)).
pub(crate) fn waker() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = std::io::pipe()?;
    Ok((writer.into(), reader.into()))
}

/// Changes what the kqueue `queue` watches, and then waits for events as far as `told` has room (kevent(2)).
pub(crate) fn kevent(
    queue: &OwnedFd,
    changes: &[Event],
    told: &mut Vec<Event>,
    patience: Option<Duration>,
) -> Result<()> {
    let room = rustix::buffer::spare_capacity(told);
    // SAFETY: the kernel forgets a descriptor that is closed, and only compares the numbers of others.
    unsafe { kqueue::kevent(queue, changes, room, patience) }?;
    Ok(())
}

/// The answer in what a ping socket gave: before it comes the IP header where that is of version 4 (icmp(4)).
pub(crate) fn echo(message: &[u8]) -> &[u8] {
    match message.first() {
        Some(first) if first >> 4 == 4 => message.get(usize::from(first & 0xf) * 4..).unwrap_or_default(),
        _ => message,
    }
}
