//! The host's sockets: all that leaves the box leaves through one of these.

use crate::sys;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, ipproto, listen, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

const BACKLOG: i32 = 1024;

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// A TCP socket on its way to `to`.
pub(crate) fn tcp(to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = sys::socket(family(to.ip()), SocketType::STREAM, None)?;
    // The guest's own stack has already gathered what it wanted to gather.
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// A connection that somebody outside has made.
pub(crate) fn accepted(listener: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let (socket, peer) = sys::accept(listener)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    if peer.is_some() {
        sockopt::set_tcp_nodelay(&socket, true)?;
    }
    Ok((socket, peer))
}

/// A UDP socket that speaks with `to` alone.
pub(crate) fn udp(to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = sys::socket(family(to.ip()), SocketType::DGRAM, None)?;
    connect(&socket, &to)?;
    Ok(socket)
}

/// A socket for echo requests to `to`, which hosts grant by `net.ipv4.ping_group_range`.
pub(crate) fn ping(to: IpAddr) -> io::Result<OwnedFd> {
    let protocol = if to.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    let socket = sys::socket(family(to), SocketType::DGRAM, Some(protocol))?;
    connect(&socket, &SocketAddr::new(to, 0))?;
    Ok(socket)
}

/// A socket that listens for TCP connections at `at`, or takes UDP datagrams there.
pub(crate) fn published(at: SocketAddr, kind: SocketType) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = sys::socket(family(at.ip()), kind, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &at)?;
    if kind == SocketType::STREAM {
        listen(&socket, BACKLOG)?;
    }
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound))
}

/// A UNIX socket of another box's.
pub(crate) fn neighbour(path: &Path) -> io::Result<OwnedFd> {
    let socket = sys::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// A UNIX socket for other boxes, in place of what a shim that is gone left there.
pub(crate) fn neighbourhood(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = sys::socket(AddressFamily::UNIX, kind, None)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    if kind == SocketType::STREAM {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

/// Two ends of a connection inside this process.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(sys::pair()?)
}
