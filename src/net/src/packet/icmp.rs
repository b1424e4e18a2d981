//! ICMP echo, the errors that tell the guest why something cannot be reached, and neighbour discovery.

use super::checksum::{self, Sum};
use super::ip::{self, Datagram};
use super::link::Identity;
use super::{ETHERNET, Inbound, PREFIX, Refused, be16};
use rustix::io::Errno;
use std::net::IpAddr;

const HEADER: usize = 8;
/// An error quotes at most this much, so that it fits any link.
const MAX_QUOTE: usize = 548;
const SOLICIT: u8 = 135;
const ADVERTISE: u8 = 136;
/// Router solicitation, advertisement, redirect; and MLD in its two versions.
const ROUTER_AND_GROUPS: [u8; 7] = [130, 131, 132, 133, 134, 137, 143];

/// An echo request of the guest's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo<'a> {
    /// Which of the guest's pings.
    pub(crate) ident: u16,
    /// Which request of it.
    pub(crate) sequence: u16,
    /// What comes back.
    pub(crate) data: &'a [u8],
}

impl<'a> Echo<'a> {
    /// The echo request in `datagram`. `None` for the guest's other ICMP, errors it reports to us above all.
    pub(crate) fn read(datagram: &Datagram<'a>) -> Result<Option<Self>, Refused> {
        let payload = datagram.payload;
        if payload.len() < HEADER {
            return Err(Refused::Malformed);
        }
        let (before, request) = match datagram.destination {
            IpAddr::V4(_) => (Sum::default(), 8),
            IpAddr::V6(_) => {
                (Sum::pseudo(datagram.source, datagram.destination, ip::ICMP6, payload.len()), 128)
            }
        };
        if !checksum::verifies(before, payload) {
            return Err(Refused::Checksum);
        }
        if payload[0] != request {
            return Ok(None);
        }
        if payload[1] != 0 {
            return Err(Refused::Malformed);
        }
        let (ident, sequence) = (be16(payload, 4)?, be16(payload, 6)?);
        Ok(Some(Self { ident, sequence, data: &payload[HEADER..] }))
    }
}

/// The frame that answers an echo request of the guest's in the name of `source`.
pub(crate) fn echo_reply(identity: &Identity, source: IpAddr, echo: Echo<'_>) -> Vec<u8> {
    let destination = identity.guest_ip(source);
    let kind = if source.is_ipv4() { 0 } else { 129 };
    let mut message = Vec::with_capacity(HEADER + echo.data.len());
    message.extend_from_slice(&[kind, 0, 0, 0]);
    message.extend_from_slice(&echo.ident.to_be_bytes());
    message.extend_from_slice(&echo.sequence.to_be_bytes());
    message.extend_from_slice(echo.data);
    finish(identity, source, destination, &mut message)
}

/// Why something cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// The host has no route there.
    Network,
    /// Nobody answers there.
    Host,
    /// Nobody listens there.
    Port,
    /// The policy says no.
    Prohibited,
}

impl Unreachable {
    /// What a failed connect(2) says, where a reset would be the wrong word.
    pub(crate) fn of(error: Errno) -> Option<Self> {
        match error {
            Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => {
                Some(Self::Network)
            }
            Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::TIMEDOUT => Some(Self::Host),
            _ => None,
        }
    }
}

/// The frame that tells the guest that what it sent in `quote` (from its IP header on) cannot arrive.
pub(crate) fn unreachable(
    identity: &Identity,
    destination: IpAddr,
    why: Unreachable,
    quote: &[u8],
) -> Vec<u8> {
    let (kind, code) = match (destination, why) {
        (IpAddr::V4(_), Unreachable::Network) => (3, 0),
        (IpAddr::V4(_), Unreachable::Host) => (3, 1),
        (IpAddr::V4(_), Unreachable::Port) => (3, 3),
        (IpAddr::V4(_), Unreachable::Prohibited) => (3, 13),
        (IpAddr::V6(_), Unreachable::Network) => (1, 0),
        (IpAddr::V6(_), Unreachable::Host) => (1, 3),
        (IpAddr::V6(_), Unreachable::Port) => (1, 4),
        (IpAddr::V6(_), Unreachable::Prohibited) => (1, 1),
    };
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&quote[..quote.len().min(MAX_QUOTE)]);
    let source = identity.gateway_ip(destination);
    finish(identity, source, identity.guest_ip(destination), &mut message)
}

/// Answers a neighbour solicitation for the gateway; other discovery is nothing to us. `None` if it is none.
pub(crate) fn neighbour_solicited<'a>(
    identity: &Identity,
    datagram: &Datagram<'a>,
) -> Result<Option<Inbound<'a>>, Refused> {
    let message = datagram.payload;
    let Some(&kind) = message.first() else { return Err(Refused::Malformed) };
    let discovery = matches!(kind, SOLICIT | ADVERTISE) || ROUTER_AND_GROUPS.contains(&kind);
    if !discovery {
        let own = datagram.source == IpAddr::V6(identity.guest6);
        return if own && !datagram.destination.is_multicast() { Ok(None) } else { Err(Refused::Multicast) };
    }
    let before = Sum::pseudo(datagram.source, datagram.destination, ip::ICMP6, message.len());
    // A router would have lowered the hop limit: 255 says that it comes from this link.
    if message.len() < HEADER || datagram.whole[7] != 255 || !checksum::verifies(before, message) {
        return Err(Refused::Malformed);
    }
    if !matches!(kind, SOLICIT | ADVERTISE) {
        return Ok(Some(Inbound::Nothing));
    }
    let target: [u8; 16] = message.get(8..24).and_then(|t| t.try_into().ok()).ok_or(Refused::Malformed)?;
    let link_local = target[0] == 0xfe && target[1] & 0xc0 == 0x80;
    if kind == ADVERTISE {
        let own = target == identity.guest6.octets() || link_local;
        return if own { Ok(Some(Inbound::Nothing)) } else { Err(Refused::NeighbourSpoof) };
    }
    // The source link-layer address that comes with it must be the guest's own.
    for option in message[24..].chunks_exact(8) {
        if option[..2] == [1, 1] && option[2..8] != identity.guest {
            return Err(Refused::NeighbourSpoof);
        }
    }
    if target != identity.gateway6.octets() || datagram.source == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
    {
        return Ok(Some(Inbound::Nothing));
    }
    // Router, solicited, override; then our link address as an option.
    let mut reply = vec![ADVERTISE, 0, 0, 0, 0xe0, 0, 0, 0];
    reply.extend_from_slice(&target);
    reply.extend_from_slice(&[2, 1]);
    reply.extend_from_slice(&identity.gateway);
    Ok(Some(Inbound::Answer(finish(identity, identity.gateway6.into(), datagram.source, &mut reply))))
}

fn finish(identity: &Identity, source: IpAddr, destination: IpAddr, message: &mut [u8]) -> Vec<u8> {
    let (before, protocol) = if source.is_ipv4() {
        (Sum::default(), ip::ICMP4)
    } else {
        (Sum::pseudo(source, destination, ip::ICMP6, message.len()), ip::ICMP6)
    };
    let sum = before.add(message).finish();
    message[2..4].copy_from_slice(&sum);
    let mut frame = ip::begin(identity, source, destination, protocol, message.len());
    debug_assert_eq!(frame.len(), PREFIX + ETHERNET + super::ip_header(source));
    frame.extend_from_slice(message);
    frame
}
