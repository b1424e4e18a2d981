//! TCP segments.

use super::checksum::Sum;
use super::ip::{self, Datagram};
use super::link::Identity;
use super::{ETHERNET, PREFIX, Refused, be16, be32};
use std::net::{IpAddr, SocketAddr};

const HEADER: usize = 20;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;

/// The flags of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: Self = Self(0x01);
    pub(crate) const SYN: Self = Self(0x02);
    pub(crate) const RST: Self = Self(0x04);
    pub(crate) const PSH: Self = Self(0x08);
    pub(crate) const ACK: Self = Self(0x10);

    /// These flags and those.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The options that matter to us, all of a SYN's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The largest segment that the sender takes.
    pub(crate) mss: Option<u16>,
    /// By how many bits the sender's windows are shifted.
    pub(crate) window_scale: Option<u8>,
}

/// A segment of the guest's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    /// The guest's port.
    pub(crate) source: u16,
    /// Where it goes.
    pub(crate) destination: SocketAddr,
    /// The first byte's number.
    pub(crate) seq: u32,
    /// The byte that the guest waits for.
    pub(crate) ack: u32,
    /// Its flags.
    pub(crate) flags: Flags,
    /// The guest's window, not scaled.
    pub(crate) window: u16,
    /// Its options.
    pub(crate) options: Options,
    /// Its bytes.
    pub(crate) data: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads the segment in `datagram`.
    pub(crate) fn read(datagram: &Datagram<'a>) -> Result<Self, Refused> {
        let bytes = datagram.payload;
        let (source, port) = (be16(bytes, 0)?, be16(bytes, 2)?);
        let (seq, ack) = (be32(bytes, 4)?, be32(bytes, 8)?);
        let (control, window) = (be16(bytes, 12)?, be16(bytes, 14)?);
        let header = usize::from(control >> 12) * 4;
        if header < HEADER || header > bytes.len() || source == 0 || port == 0 {
            return Err(Refused::Malformed);
        }
        let flags = Flags(u8::try_from(control & 0x3f).unwrap_or_default());
        let options =
            if flags.has(Flags::SYN) { options(&bytes[HEADER..header])? } else { Options::default() };
        let destination = SocketAddr::new(datagram.destination, port);
        Ok(Self { source, destination, seq, ack, flags, window, options, data: &bytes[header..] })
    }

    /// How many numbers the segment takes.
    pub(crate) fn length(&self) -> u32 {
        u32::try_from(self.data.len()).unwrap_or(u32::MAX)
            + u32::from(self.flags.has(Flags::SYN))
            + u32::from(self.flags.has(Flags::FIN))
    }
}

fn options(mut bytes: &[u8]) -> Result<Options, Refused> {
    let mut found = Options::default();
    while let [kind, rest @ ..] = bytes {
        match (*kind, rest) {
            (0, _) => break,
            (1, _) => bytes = rest,
            (kind, [length, ..]) => {
                let length = usize::from(*length);
                let option = bytes.get(..length).filter(|_| length >= 2).ok_or(Refused::Malformed)?;
                match (kind, &option[2..]) {
                    (MSS, [high, low]) => found.mss = Some(u16::from_be_bytes([*high, *low])),
                    // More than 14 means 14 (RFC 7323, 2.3).
                    (WINDOW_SCALE, [shift]) => found.window_scale = Some((*shift).min(14)),
                    (MSS | WINDOW_SCALE, _) => return Err(Refused::Malformed),
                    _ => {}
                }
                bytes = &bytes[length..];
            }
            _ => return Err(Refused::Malformed),
        }
    }
    Ok(found)
}

/// The header of a segment to the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// Whose name it is sent in.
    pub(crate) source: SocketAddr,
    /// The guest's port.
    pub(crate) destination: u16,
    /// The first byte's number.
    pub(crate) seq: u32,
    /// The byte that we wait for.
    pub(crate) ack: u32,
    /// Its flags.
    pub(crate) flags: Flags,
    /// Our window, already scaled.
    pub(crate) window: u16,
    /// Its options.
    pub(crate) options: Options,
}

/// The room that goes before a segment's bytes in its frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderRoom(usize);

impl HeaderRoom {
    /// For segments without options from `source`.
    pub(crate) fn of(source: SocketAddr) -> Self {
        Self(PREFIX + ETHERNET + super::ip_header(source.ip()) + HEADER)
    }

    /// In bytes.
    pub(crate) fn bytes(self) -> usize {
        self.0
    }
}

impl Header {
    /// Writes everything that goes before the bytes which are already in `frame`, after their
    /// [`HeaderRoom`]. Options have no room there.
    pub(crate) fn write(&self, identity: &Identity, frame: &mut [u8]) {
        let start = PREFIX + ETHERNET + super::ip_header(self.source.ip());
        let length = frame.len() - start;
        let destination = identity.guest_ip(self.source.ip());
        ip::write_in_place(frame, identity, self.source.ip(), destination, ip::TCP, length);
        self.fill(identity, &mut frame[start..], HEADER);
    }

    /// The frame of a segment without bytes.
    pub(crate) fn frame(&self, identity: &Identity) -> Vec<u8> {
        let options = &self.options;
        let length =
            HEADER + usize::from(options.mss.is_some()) * 4 + usize::from(options.window_scale.is_some()) * 4;
        let start = PREFIX + ETHERNET + super::ip_header(self.source.ip());
        let mut frame = vec![0; start + length];
        let destination = identity.guest_ip(self.source.ip());
        ip::write_in_place(&mut frame, identity, self.source.ip(), destination, ip::TCP, length);
        let mut at = start + HEADER;
        if let Some(mss) = options.mss {
            let [high, low] = mss.to_be_bytes();
            frame[at..at + 4].copy_from_slice(&[MSS, 4, high, low]);
            at += 4;
        }
        if let Some(shift) = options.window_scale {
            frame[at..at + 4].copy_from_slice(&[1, WINDOW_SCALE, 3, shift]);
        }
        self.fill(identity, &mut frame[start..], length);
        frame
    }

    /// Writes into the frame of a segment from `source` what we wait for now, and our window as it is now. A SYN has said
    /// both once and for all.
    pub(crate) fn renew(identity: &Identity, frame: &mut [u8], source: IpAddr, (ack, window): (u32, u16)) {
        let segment = &mut frame[PREFIX + ETHERNET + super::ip_header(source)..];
        if !Flags(segment[13]).has(Flags::SYN) {
            segment[8..12].copy_from_slice(&ack.to_be_bytes());
            segment[14..16].copy_from_slice(&window.to_be_bytes());
            sum_up(identity, source, segment);
        }
    }

    fn fill(&self, identity: &Identity, segment: &mut [u8], header: usize) {
        let control = (super::len16(header / 4) << 12) | u16::from(self.flags.0);
        segment[..2].copy_from_slice(&self.source.port().to_be_bytes());
        segment[2..4].copy_from_slice(&self.destination.to_be_bytes());
        segment[4..8].copy_from_slice(&self.seq.to_be_bytes());
        segment[8..12].copy_from_slice(&self.ack.to_be_bytes());
        segment[12..14].copy_from_slice(&control.to_be_bytes());
        segment[14..16].copy_from_slice(&self.window.to_be_bytes());
        segment[18..20].fill(0);
        sum_up(identity, self.source.ip(), segment);
    }
}

/// Writes the checksum of a segment from `source`.
fn sum_up(identity: &Identity, source: IpAddr, segment: &mut [u8]) {
    segment[16..18].fill(0);
    let sum = Sum::pseudo(source, identity.guest_ip(source), ip::TCP, segment.len()).add(segment).finish();
    segment[16..18].copy_from_slice(&sum);
}
