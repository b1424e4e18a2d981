//! The parsers of what guests and servers send, one function each, for the fuzz targets and the mutation test.
//!
//! Each takes any bytes, and must return. What it takes must also hold together: a segment's bytes lie inside
//! its frame, a name that was understood can be written down.

use crate::dns::parsers;
use crate::hello::{MAX_HELLO, Step, Watch};
use crate::packet::{Echo, Identity, Inbound, Protocol, Segment, Udp, read};
use a3s_box_core::NetAddresses;

/// One target.
pub type Target = fn(&[u8]);

/// All targets by their names.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame),
    ("arp", arp),
    ("ip", ip),
    ("tcp", tcp),
    ("udp", udp),
    ("icmp", icmp),
    ("dns", dns),
    ("tls", tls),
    ("http", http),
    ("secret_request", secret_request),
    ("secret_response", secret_response),
];

fn identity() -> Identity {
    let NetAddresses { mac, gateway_mac, guest4, gateway4, guest6, gateway6, .. } = NetAddresses::default();
    Identity { guest: mac, gateway: gateway_mac, guest4, gateway4, guest6, gateway6 }
}

fn take(frame: &[u8]) {
    let Ok(Inbound::Ip(datagram)) = read(&identity(), frame) else { return };
    assert!(datagram.whole.len() <= frame.len() && datagram.payload.len() < datagram.whole.len());
    match datagram.protocol {
        Protocol::Tcp => {
            if let Ok(segment) = Segment::read(&datagram) {
                assert!(segment.data.len() + 20 <= datagram.payload.len());
                let _ = segment.length();
            }
        }
        Protocol::Udp => {
            if let Ok(udp) = Udp::read(&datagram) {
                assert!(udp.data.len() + 8 <= datagram.payload.len());
            }
        }
        Protocol::Icmp => {
            let _ = Echo::read(&datagram);
        }
    }
}

/// A whole frame.
pub fn frame(bytes: &[u8]) {
    take(bytes);
}

/// What follows an Ethernet header that says ARP.
pub fn arp(bytes: &[u8]) {
    take(&ethernet(0x0806, bytes));
}

/// What follows an Ethernet header that says IPv4 or IPv6, as the first byte has it.
pub fn ip(bytes: &[u8]) {
    let version = bytes.first().map_or(4, |b| b >> 4);
    take(&ethernet(if version == 6 { 0x86dd } else { 0x0800 }, bytes));
}

/// A TCP segment in a sound datagram.
pub fn tcp(bytes: &[u8]) {
    take(&ethernet(0x86dd, &datagram(6, bytes)));
}

/// A UDP datagram in a sound IP datagram.
pub fn udp(bytes: &[u8]) {
    take(&ethernet(0x86dd, &datagram(17, bytes)));
}

/// An ICMPv6 message, neighbour discovery among them, in a sound datagram and with a sound checksum.
pub fn icmp(bytes: &[u8]) {
    let mut message = bytes.to_vec();
    if message.len() >= 4 {
        message[2..4].fill(0);
        let sum = crate::packet::icmp6_checksum(&identity(), &message);
        message[2..4].copy_from_slice(&sum);
    }
    take(&ethernet(0x86dd, &datagram(58, &message)));
}

/// A DNS query of the guest's; and as a resolver's answer to one.
pub fn dns(bytes: &[u8]) {
    parsers(bytes);
}

/// The beginning of a TLS connection, as it comes in pieces.
pub fn tls(bytes: &[u8]) {
    watch(&[&[0x16, 3, 1], bytes].concat());
    watch(bytes);
}

/// The requests of an HTTP connection, as they come in pieces.
pub fn http(bytes: &[u8]) {
    watch(bytes);
}

/// The requests of a connection that may need secrets.
pub fn secret_request(bytes: &[u8]) {
    crate::secret::fuzz::request(bytes);
}

/// The responses on one.
pub fn secret_response(bytes: &[u8]) {
    crate::secret::fuzz::response(bytes);
}

/// Shows a watch the bytes in pieces. It must ask before it lets the first one go, and end.
fn watch(bytes: &[u8]) {
    let mut watch = Watch::new();
    let (mut from, mut asked, mut steps) = (0, false, 0);
    let piece = 1 + bytes.len() / 3;
    let mut to = piece.min(bytes.len());
    loop {
        steps += 1;
        assert!(steps < 4 * MAX_HELLO + 4 * bytes.len(), "the watch does not come to an end");
        match watch.look(&bytes[from..to]) {
            Step::More if to == bytes.len() => return,
            Step::More => to = (to + piece).min(bytes.len()),
            Step::Open => {
                assert!(asked, "open without having asked");
                return;
            }
            Step::Release(count) => {
                assert!(asked && count > 0 && from + count <= to, "released {count}");
                from += count;
            }
            Step::Ask(hello) => {
                asked = true;
                assert!(hello.name().is_none_or(|name| name.is_ascii()));
                let count = watch.granted();
                assert!(from + count <= to);
                from += count;
                if steps % 2 == 0 {
                    watch.hear(b"HTTP/1.1 101 Switching");
                }
            }
        }
    }
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let identity = identity();
    let mut frame = [identity.gateway, identity.guest].concat();
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn datagram(next: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(65_000)];
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    packet.extend_from_slice(&[next, 255]);
    packet.extend_from_slice(&identity().guest6.octets());
    packet.extend_from_slice(&identity().gateway6.octets());
    packet.extend_from_slice(payload);
    packet
}
