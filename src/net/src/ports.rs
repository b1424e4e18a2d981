//! Published ports: the host's sockets that lead into the box.

use crate::poll::Source;
use crate::socket;
use crate::station::Station;
use a3s_box_core::{BoxError, PortMapping, Transport};
use rustix::net::SocketType;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// A published port and its socket.
pub(crate) struct Port {
    pub(crate) guest: u16,
    pub(crate) socket: Rc<OwnedFd>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Ports(HashMap<u64, Port>);

/// Sockets that are bound before the stack runs, so that a port which is taken is known at once.
pub(crate) struct Bound(Vec<(PortMapping, OwnedFd)>);

impl Bound {
    /// Binds every port of `mappings`.
    pub(crate) fn new(mappings: &[PortMapping]) -> Result<Self, BoxError> {
        let bind = |mapping: &PortMapping| {
            let kind = match mapping.transport {
                Transport::Tcp => SocketType::STREAM,
                Transport::Udp => SocketType::DGRAM,
            };
            let (socket, host) = socket::published(mapping.host, kind).map_err(|error| {
                BoxError::io(format!("cannot publish {mapping}"), error)
                    .with_hint("pick another host port, or 0 to have one picked")
            })?;
            Ok((PortMapping { host, ..*mapping }, socket))
        };
        mappings.iter().map(bind).collect::<Result<_, BoxError>>().map(Self)
    }

    /// Where each port really is.
    pub(crate) fn mappings(&self) -> Vec<PortMapping> {
        self.0.iter().map(|(mapping, _)| *mapping).collect()
    }
}

impl Ports {
    /// Begins to take what comes.
    pub(crate) fn watch(bound: Bound, station: &mut Station) -> std::io::Result<Self> {
        let mut ports = HashMap::new();
        for (mapping, socket) in bound.0 {
            let id = station.poll.id();
            let source = match mapping.transport {
                Transport::Tcp => Source::TcpPort(id),
                Transport::Udp => Source::UdpPort(id),
            };
            station.poll.watch_input(&socket, source)?;
            ports.insert(id, Port { guest: mapping.guest, socket: Rc::new(socket) });
        }
        Ok(Self(ports))
    }

    /// The port of an event.
    pub(crate) fn get(&self, id: u64) -> Option<&Port> {
        self.0.get(&id)
    }
}

/// The address under which the guest sees `peer`: its own, or the gateway's where the guest could not answer
/// to that.
pub(crate) fn seen(peer: SocketAddr, station: &Station) -> SocketAddr {
    let identity = &station.identity;
    let ip = peer.ip();
    let own = ip == IpAddr::V4(identity.guest4) || ip == IpAddr::V6(identity.guest6);
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let odd = own || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local;
    if odd { SocketAddr::new(identity.gateway_ip(ip), peer.port()) } else { SocketAddr::new(ip, peer.port()) }
}
