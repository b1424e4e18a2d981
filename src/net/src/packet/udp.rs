//! UDP datagrams.

use super::checksum::Sum;
use super::ip::{self, Datagram};
use super::link::Identity;
use super::{Refused, be16, len16};
use std::net::{IpAddr, SocketAddr};

const HEADER: usize = 8;

/// A UDP datagram of the guest's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Udp<'a> {
    /// The guest's port.
    pub(crate) source: u16,
    /// Where it goes.
    pub(crate) destination: SocketAddr,
    /// What it says.
    pub(crate) data: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Reads the UDP datagram in `datagram`.
    pub(crate) fn read(datagram: &Datagram<'a>) -> Result<Self, Refused> {
        let payload = datagram.payload;
        let length = usize::from(be16(payload, 4)?);
        let (source, port) = (be16(payload, 0)?, be16(payload, 2)?);
        if length < HEADER || length > payload.len() || source == 0 || port == 0 {
            return Err(Refused::Malformed);
        }
        let destination = SocketAddr::new(datagram.destination, port);
        Ok(Self { source, destination, data: &payload[HEADER..length] })
    }
}

/// The frame that carries `data` from `source` to the guest's `port`.
pub(crate) fn udp_frame(identity: &Identity, source: SocketAddr, port: u16, data: &[u8]) -> Vec<u8> {
    let destination: IpAddr = identity.guest_ip(source.ip());
    let length = HEADER + data.len();
    let mut frame = ip::begin(identity, source.ip(), destination, ip::UDP, length);
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&source.port().to_be_bytes());
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header[4..6].copy_from_slice(&len16(length).to_be_bytes());
    let sum = Sum::pseudo(source.ip(), destination, ip::UDP, length).add(&header).add(data).finish();
    // Zero would say that there is no checksum.
    header[6..8].copy_from_slice(&if sum == [0, 0] { [0xff, 0xff] } else { sum });
    frame.extend_from_slice(&header);
    frame.extend_from_slice(data);
    frame
}
