//! Sockets and wakers as Linux makes them.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Result;
use rustix::net::{
    AddressFamily, Protocol, SendFlags, SocketAddrAny, SocketFlags, SocketType, acceptfrom_with, socket_with,
    socketpair,
};
use std::os::fd::OwnedFd;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Whoever sends to somebody who is gone hears so by an error, not by a signal.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// A socket that nobody waits for and no program inherits.
pub(crate) fn socket(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd> {
    socket_with(family, kind, FLAGS, protocol)
}

/// The next connection, as [`socket`].
pub(crate) fn accept(listener: &OwnedFd) -> Result<(OwnedFd, Option<SocketAddrAny>)> {
    acceptfrom_with(listener, FLAGS)
}

/// Two ends of a connection inside this process, as [`socket`].
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)
}

/// Where eight bytes are written to wake somebody, and where that one looks (eventfd(2)).
pub(crate) fn waker() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let end = eventfd(0, EventfdFlags::CLOEXEC)?;
    let other = end.try_clone()?;
    Ok((end, other))
}

/// The answer in what a ping socket gave: it is all of it.
pub(crate) fn echo(message: &[u8]) -> &[u8] {
    message
}
