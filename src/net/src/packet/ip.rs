//! IPv4 and IPv6 headers, without options and extension headers.

use super::checksum::{self, Sum};
use super::link::{self, Identity};
use super::{ETHERNET, PREFIX, Refused, be16, len16};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const V4_HEADER: usize = 20;
pub(super) const V6_HEADER: usize = 40;
pub(super) const ICMP4: u8 = 1;
pub(super) const ICMP6: u8 = 58;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// IGMP, and in IPv6 the hop-by-hop header that MLD brings.
const IGMP: u8 = 2;
const HOP_BY_HOP: u8 = 0;
const V6_FRAGMENT: u8 = 44;
/// Routing, destination options, ESP, AH, mobility, HIP, shim6 and none.
const V6_EXTENSIONS: [u8; 8] = [43, 60, 50, 51, 135, 139, 140, 59];

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
const HOPS: u8 = 64;

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// ICMP of the datagram's family.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// An IP datagram of the guest's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'a> {
    /// The guest's address.
    pub(crate) source: IpAddr,
    /// Where it goes.
    pub(crate) destination: IpAddr,
    /// What it carries.
    pub(crate) protocol: Protocol,
    /// What it carries, without padding.
    pub(crate) payload: &'a [u8],
    /// The datagram from its IP header on, for the ICMP error that quotes it.
    pub(crate) whole: &'a [u8],
}

pub(super) fn read_v4<'a>(identity: &Identity, bytes: &'a [u8]) -> Result<Datagram<'a>, Refused> {
    let header = bytes.get(..V4_HEADER).ok_or(Refused::Malformed)?;
    let length = usize::from(be16(header, 2)?);
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_length < V4_HEADER || length < header_length || length > bytes.len() {
        return Err(Refused::Malformed);
    }
    let whole = &bytes[..length];
    if !checksum::verifies(Sum::default(), &whole[..header_length]) {
        return Err(Refused::Checksum);
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    // A guest that is not configured yet asks for an address (DHCP); there is nobody to ask.
    if header[9] == IGMP || destination.is_multicast() || destination.is_broadcast() {
        return Err(Refused::Multicast);
    }
    if source != identity.guest4 {
        return Err(Refused::Spoofed);
    }
    if header_length != V4_HEADER {
        return Err(Refused::IpOptions);
    }
    if be16(header, 6)? & (MORE_FRAGMENTS | OFFSET) != 0 {
        return Err(Refused::Fragment);
    }
    let protocol = match header[9] {
        ICMP4 => Protocol::Icmp,
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return Err(Refused::Protocol),
    };
    Ok(Datagram {
        source: source.into(),
        destination: destination.into(),
        protocol,
        payload: &whole[V4_HEADER..],
        whole,
    })
}

pub(super) fn read_v6<'a>(identity: &Identity, bytes: &'a [u8]) -> Result<Datagram<'a>, Refused> {
    let header = bytes.first_chunk::<V6_HEADER>().ok_or(Refused::Malformed)?;
    let length = V6_HEADER + usize::from(be16(header, 4)?);
    if header[0] >> 4 != 6 || length > bytes.len() {
        return Err(Refused::Malformed);
    }
    let source = v6(header, 8);
    let destination = v6(header, 24);
    let protocol = match header[6] {
        ICMP6 => Protocol::Icmp,
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        HOP_BY_HOP => return Err(Refused::Multicast),
        V6_FRAGMENT => return Err(Refused::Fragment),
        other if V6_EXTENSIONS.contains(&other) => return Err(Refused::ExtensionHeader),
        _ => return Err(Refused::Protocol),
    };
    // Neighbour discovery alone also speaks from the link-local address, and to groups.
    let discovery = protocol == Protocol::Icmp && (source.is_unicast_link_local() || source.is_unspecified());
    if source != identity.guest6 && !discovery {
        // Until its address is set, a guest chats from what it has.
        return Err(if destination.is_multicast() { Refused::Multicast } else { Refused::Spoofed });
    }
    if destination.is_multicast() && protocol != Protocol::Icmp {
        return Err(Refused::Multicast);
    }
    let whole = &bytes[..length];
    Ok(Datagram {
        source: source.into(),
        destination: destination.into(),
        protocol,
        payload: &whole[V6_HEADER..],
        whole,
    })
}

fn v6(header: &[u8; V6_HEADER], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    octets.into()
}

/// Begins a frame that carries `payload` bytes of `protocol` from `source` to the guest at `destination`.
pub(super) fn begin(
    identity: &Identity,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: usize,
) -> Vec<u8> {
    let header = super::ip_header(source);
    let kind = if source.is_ipv4() { link::IPV4 } else { link::IPV6 };
    let mut frame = link::begin(identity, kind, header + payload);
    frame.resize(PREFIX + ETHERNET + header, 0);
    write(&mut frame[PREFIX + ETHERNET..], source, destination, protocol, payload);
    frame
}

/// Writes the Ethernet and IP headers, and the length before them, at the start of `frame`.
pub(super) fn write_in_place(
    frame: &mut [u8],
    identity: &Identity,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: usize,
) {
    let header = super::ip_header(source);
    let kind = if source.is_ipv4() { link::IPV4 } else { link::IPV6 };
    frame[..PREFIX].copy_from_slice(&link::prefix(header + payload));
    frame[PREFIX..PREFIX + 6].copy_from_slice(&identity.guest);
    frame[PREFIX + 6..PREFIX + 12].copy_from_slice(&identity.gateway);
    frame[PREFIX + 12..PREFIX + ETHERNET].copy_from_slice(&kind.to_be_bytes());
    write(&mut frame[PREFIX + ETHERNET..], source, destination, protocol, payload);
}

fn write(at: &mut [u8], source: IpAddr, destination: IpAddr, protocol: u8, payload: usize) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = &mut at[..V4_HEADER];
            header.fill(0);
            header[0] = 0x45;
            header[2..4].copy_from_slice(&len16(V4_HEADER + payload).to_be_bytes());
            header[6..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
            header[8] = HOPS;
            header[9] = protocol;
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let sum = Sum::default().add(header).finish();
            header[10..12].copy_from_slice(&sum);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = &mut at[..V6_HEADER];
            header.fill(0);
            header[0] = 0x60;
            header[4..6].copy_from_slice(&len16(payload).to_be_bytes());
            header[6] = protocol;
            // Neighbour discovery believes only what no router has passed on.
            header[7] = if protocol == ICMP6 { 255 } else { HOPS };
            header[8..24].copy_from_slice(&source.octets());
            header[24..40].copy_from_slice(&destination.octets());
        }
        // Never built; the families of one datagram are one.
        _ => {}
    }
}
