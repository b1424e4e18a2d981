//! What is inside a frame: ARP, IPv4, IPv6, ICMP, UDP and TCP, read strictly and written.
//!
//! Reading never copies and never trusts: a length that does not add up, an option or an extension header that
//! nobody needs, a fragment or a source that is not the guest's own is an [`Refused`] with its name. Checksums
//! of TCP and UDP are written but not verified: between guest and shim lies memory, and a guest that offloads
//! checksums leaves them blank. Knows nothing of flows. Used by the stack and all that answers the guest.

mod checksum;
mod icmp;
mod ip;
mod link;
mod tcp;
mod udp;

pub(crate) use icmp::{Echo, Unreachable, echo_reply, neighbour_solicited, unreachable};
pub(crate) use ip::{Datagram, Protocol};
pub(crate) use link::Identity;
pub(crate) use tcp::{Flags, Header, HeaderRoom, Options, Segment};
pub(crate) use udp::{Udp, udp_frame};

use std::net::IpAddr;

/// An Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// The length that goes before every frame on the stream.
pub(crate) const PREFIX: usize = 4;

/// Why a frame goes no further. The names are those of the log and the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    /// Too short, or lengths that do not add up.
    Malformed,
    /// A checksum of IPv4 or ICMP that is wrong.
    Checksum,
    /// A link address that is not the guest's, or not ours.
    ForeignLink,
    /// A source address that is not the guest's.
    Spoofed,
    /// A fragment. Nothing that a guest with our MTU sends needs them, and policies are evaded with them.
    Fragment,
    /// IPv4 options, source routing among them.
    IpOptions,
    /// IPv6 extension headers, routing among them.
    ExtensionHeader,
    /// Multicast, broadcast, IGMP and MLD: there is nobody else on this link.
    Multicast,
    /// A protocol that does not go out: neither TCP, UDP nor ICMP echo.
    Protocol,
    /// An ARP or NDP message that claims somebody else's address.
    NeighbourSpoof,
}

impl Refused {
    /// The name in records and counters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::ForeignLink => "foreign-link-address",
            Self::Spoofed => "spoofed-source",
            Self::Fragment => "fragment",
            Self::IpOptions => "ip-options",
            Self::ExtensionHeader => "extension-header",
            Self::Multicast => "multicast",
            Self::Protocol => "protocol",
            Self::NeighbourSpoof => "neighbour-spoofing",
        }
    }

    /// Whether guests send it in all innocence, so that it is counted but not recorded.
    pub(crate) fn is_chatter(self) -> bool {
        matches!(self, Self::Multicast)
    }
}

/// A frame of the guest that means something.
#[derive(Debug)]
pub(crate) enum Inbound<'a> {
    /// Something to answer at once, already made.
    Answer(Vec<u8>),
    /// An IP datagram from the guest's address.
    Ip(Datagram<'a>),
    /// Well-formed, and nothing to do.
    Nothing,
}

/// Reads one frame that the guest with `identity` sent.
pub(crate) fn read<'a>(identity: &Identity, frame: &'a [u8]) -> Result<Inbound<'a>, Refused> {
    let (kind, payload) = link::open(identity, frame)?;
    match kind {
        link::ARP => link::answer_arp(identity, payload),
        link::IPV4 => ip::read_v4(identity, payload).map(Inbound::Ip),
        link::IPV6 => {
            let datagram = ip::read_v6(identity, payload)?;
            if datagram.protocol == Protocol::Icmp
                && let Some(answer) = neighbour_solicited(identity, &datagram)?
            {
                return Ok(answer);
            }
            Ok(Inbound::Ip(datagram))
        }
        // What a VMM sends in the name of a guest that it has just restored: where that guest is now.
        link::RARP => Ok(Inbound::Nothing),
        _ => Err(Refused::Protocol),
    }
}

/// The length of an IP header between `IpAddr`s of this family.
pub(crate) fn ip_header(address: IpAddr) -> usize {
    if address.is_ipv4() { ip::V4_HEADER } else { ip::V6_HEADER }
}

/// The checksum of an ICMPv6 message from the guest to the gateway whose own checksum is blank.
pub(crate) fn icmp6_checksum(identity: &Identity, message: &[u8]) -> [u8; 2] {
    let (from, to) = (identity.guest6.into(), identity.gateway6.into());
    checksum::Sum::pseudo(from, to, ip::ICMP6, message.len()).add(message).finish()
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, Refused> {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_be_bytes).ok_or(Refused::Malformed)
}

fn be32(bytes: &[u8], at: usize) -> Result<u32, Refused> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).ok_or(Refused::Malformed)
}

/// A length that was bounded before and fits the field.
fn len16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
