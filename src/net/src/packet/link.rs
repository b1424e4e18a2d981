//! Ethernet and ARP: who is on the link, and the gateway's address for who asks.

use super::{ETHERNET, Inbound, PREFIX, Refused, be16};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const RARP: u16 = 0x8035;
pub(super) const IPV6: u16 = 0x86dd;

const ARP_LENGTH: usize = 28;
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;

/// The two ends of the link. The guest may use no address but its own.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The guest's link address.
    pub(crate) guest: [u8; 6],
    /// Ours, as the gateway.
    pub(crate) gateway: [u8; 6],
    /// The guest's IPv4 address.
    pub(crate) guest4: Ipv4Addr,
    /// The gateway's.
    pub(crate) gateway4: Ipv4Addr,
    /// The guest's IPv6 address.
    pub(crate) guest6: Ipv6Addr,
    /// The gateway's.
    pub(crate) gateway6: Ipv6Addr,
}

impl Identity {
    /// The guest's address of the family of `other`.
    pub(crate) fn guest_ip(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.guest4.into() } else { self.guest6.into() }
    }

    /// The gateway's address of the family of `other`.
    pub(crate) fn gateway_ip(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.gateway4.into() } else { self.gateway6.into() }
    }

    /// Whether `address` is the gateway's.
    pub(crate) fn is_gateway(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.gateway4) || address == IpAddr::V6(self.gateway6)
    }
}

/// Takes the Ethernet header off a frame of the guest's.
pub(super) fn open<'a>(identity: &Identity, frame: &'a [u8]) -> Result<(u16, &'a [u8]), Refused> {
    let (header, payload) = frame.split_at_checked(ETHERNET).ok_or(Refused::Malformed)?;
    if header[6..12] != identity.guest {
        return Err(Refused::ForeignLink);
    }
    let kind = be16(header, 12)?;
    let group = header[0] & 1 == 1;
    if !group && header[..6] != identity.gateway {
        return Err(Refused::ForeignLink);
    }
    Ok((kind, payload))
}

/// Begins a frame to the guest of `payload` bytes: the length before it, and its Ethernet header.
pub(super) fn begin(identity: &Identity, kind: u16, payload: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(PREFIX + ETHERNET + payload);
    frame.extend_from_slice(&prefix(payload));
    frame.extend_from_slice(&identity.guest);
    frame.extend_from_slice(&identity.gateway);
    frame.extend_from_slice(&kind.to_be_bytes());
    frame
}

/// The stream's length before an Ethernet frame that carries `payload` bytes.
pub(super) fn prefix(payload: usize) -> [u8; PREFIX] {
    u32::try_from(ETHERNET + payload).unwrap_or(u32::MAX).to_be_bytes()
}

/// Answers who asks for the gateway; a claim to an address that is not the guest's is spoofing.
pub(super) fn answer_arp<'a>(identity: &Identity, packet: &[u8]) -> Result<Inbound<'a>, Refused> {
    let packet = packet.get(..ARP_LENGTH).ok_or(Refused::Malformed)?;
    // Ethernet and IPv4, with addresses of their lengths.
    if packet[..6] != [0, 1, 8, 0, 6, 4] {
        return Err(Refused::Malformed);
    }
    let operation = be16(packet, 6)?;
    let sender = &packet[14..18];
    let probes = sender == [0; 4];
    if packet[8..14] != identity.guest || !(probes || *sender == identity.guest4.octets()) {
        return Err(Refused::NeighbourSpoof);
    }
    match operation {
        ARP_REQUEST if packet[24..28] == identity.gateway4.octets() => {
            let target = (identity.guest, Ipv4Addr::new(packet[14], packet[15], packet[16], packet[17]));
            Ok(Inbound::Answer(arp(identity, ARP_REPLY, target)))
        }
        ARP_REQUEST | ARP_REPLY => Ok(Inbound::Nothing),
        _ => Err(Refused::Malformed),
    }
}

fn arp(identity: &Identity, operation: u16, target: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let mut frame = begin(identity, ARP, ARP_LENGTH);
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4]);
    frame.extend_from_slice(&operation.to_be_bytes());
    frame.extend_from_slice(&identity.gateway);
    frame.extend_from_slice(&identity.gateway4.octets());
    frame.extend_from_slice(&target.0);
    frame.extend_from_slice(&target.1.octets());
    frame
}
