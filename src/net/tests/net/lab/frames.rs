//! Frames made by hand, for guests that do what no kernel does.

use a3s_box_core::NetAddresses;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// An Ethernet frame from the guest to the gateway.
pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = NetAddresses::default();
    let mut frame = addresses.gateway_mac.to_vec();
    frame.extend_from_slice(&addresses.mac);
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// An IPv4 datagram in a frame, with a right checksum. `options` come in whole words.
pub(crate) fn ipv4(
    from: &str,
    to: &str,
    protocol: u8,
    fragment: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
    packet.extend_from_slice(&u16::try_from(header + payload.len()).unwrap().to_be_bytes());
    packet.extend_from_slice(&[0x12, 0x34]);
    packet.extend_from_slice(&fragment.to_be_bytes());
    packet.extend_from_slice(&[64, protocol, 0, 0]);
    packet.extend_from_slice(&from.parse::<Ipv4Addr>().unwrap().octets());
    packet.extend_from_slice(&to.parse::<Ipv4Addr>().unwrap().octets());
    packet.extend_from_slice(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(payload);
    ethernet(0x0800, &packet)
}

/// An IPv6 datagram in a frame.
pub(crate) fn ipv6(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend_from_slice(&[next, 255]);
    packet.extend_from_slice(&from.parse::<Ipv6Addr>().unwrap().octets());
    packet.extend_from_slice(&to.parse::<Ipv6Addr>().unwrap().octets());
    packet.extend_from_slice(payload);
    ethernet(0x86dd, &packet)
}

/// A TCP segment without checksum, which a guest with checksum offload leaves blank.
pub(crate) fn tcp(from: u16, to: u16, seq: u32, ack: u32, flags: u8, window: u16, data: &[u8]) -> Vec<u8> {
    let mut segment = from.to_be_bytes().to_vec();
    segment.extend_from_slice(&to.to_be_bytes());
    segment.extend_from_slice(&seq.to_be_bytes());
    segment.extend_from_slice(&ack.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags]);
    segment.extend_from_slice(&window.to_be_bytes());
    segment.extend_from_slice(&[0; 4]);
    segment.extend_from_slice(data);
    segment
}

/// A UDP datagram without checksum.
pub(crate) fn udp(from: u16, to: u16, data: &[u8]) -> Vec<u8> {
    let mut datagram = from.to_be_bytes().to_vec();
    datagram.extend_from_slice(&to.to_be_bytes());
    datagram.extend_from_slice(&u16::try_from(8 + data.len()).unwrap().to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(data);
    datagram
}

/// An ARP message.
pub(crate) fn arp(operation: u8, mac: [u8; 6], sender: &str, target: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, operation];
    message.extend_from_slice(&mac);
    message.extend_from_slice(&sender.parse::<Ipv4Addr>().unwrap().octets());
    message.extend_from_slice(&[0; 6]);
    message.extend_from_slice(&target.parse::<Ipv4Addr>().unwrap().octets());
    ethernet(0x0806, &message)
}

/// An ICMPv6 message with its checksum.
pub(crate) fn icmp6(from: &str, to: &str, message: &[u8]) -> Vec<u8> {
    let mut pseudo = from.parse::<Ipv6Addr>().unwrap().octets().to_vec();
    pseudo.extend_from_slice(&to.parse::<Ipv6Addr>().unwrap().octets());
    pseudo.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, 58]);
    pseudo.extend_from_slice(message);
    let mut message = message.to_vec();
    message[2..4].copy_from_slice(&checksum(&pseudo));
    ipv6(from, to, 58, &message)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// Sends a frame as the VMM does.
pub(crate) fn send(stream: &mut UnixStream, frame: &[u8]) {
    let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    stream.write_all(&bytes).unwrap();
}

/// The next frame to the guest. `None` if none comes for a while.
pub(crate) fn next(stream: &mut UnixStream, patience: Duration) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(prefix)).unwrap()];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// A TCP segment that came.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) from: (IpAddr, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) data: Vec<u8>,
}

/// The TCP segment in a frame over IPv4, where there is one.
pub(crate) fn segment(frame: &[u8]) -> Option<Came> {
    let packet = frame.get(14..)?;
    if frame[12..14] != [8, 0] || packet[9] != 6 {
        return None;
    }
    let from: [u8; 4] = packet[12..16].try_into().ok()?;
    let tcp = &packet[20..];
    let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
    let short = |at: usize| u16::from_be_bytes(tcp[at..at + 2].try_into().unwrap());
    Some(Came {
        from: (IpAddr::from(from), short(0)),
        seq: number(4),
        ack: number(8),
        flags: tcp[13],
        window: short(14),
        data: tcp[usize::from(tcp[12] >> 4) * 4..].to_vec(),
    })
}
