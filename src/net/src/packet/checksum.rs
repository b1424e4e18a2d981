//! The Internet checksum (RFC 1071), summed in lanes that the compiler turns into vector code.

use std::net::IpAddr;

/// A sum on its way to a checksum, in the machine's own byte order: the one's complement sum does not care.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds `bytes`, which begin at an even offset of what is summed.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        const LANES: usize = 8;
        let mut lanes = [0u64; LANES];
        let mut blocks = bytes.chunks_exact(LANES * 4);
        for block in &mut blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
                // 2^32 blocks would have to pass for a lane to overflow; a frame has two thousand.
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let mut sum = fold32(self.0);
        for lane in lanes {
            sum += fold32(lane);
        }
        let (words, rest) = blocks.remainder().as_chunks::<2>();
        for word in words {
            sum += u64::from(u16::from_ne_bytes(*word));
        }
        if let [last] = rest {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(sum)
    }

    /// Adds a number as the network writes it.
    pub(super) fn add16(self, number: u16) -> Self {
        Self(self.0 + u64::from(number.to_be()))
    }

    /// Adds the pseudo header of TCP, UDP and ICMPv6.
    pub(super) fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        let sum = Self::default().add16(u16::from(protocol)).add16(super::len16(length));
        match (source, destination) {
            (IpAddr::V4(a), IpAddr::V4(b)) => sum.add(&a.octets()).add(&b.octets()),
            (IpAddr::V6(a), IpAddr::V6(b)) => sum.add(&a.octets()).add(&b.octets()),
            // Never built; the families of one datagram are one.
            _ => sum,
        }
    }

    /// The checksum as it stands in a header: two bytes in network order.
    pub(super) fn finish(self) -> [u8; 2] {
        let mut sum = fold32(self.0);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!u16::try_from(sum).unwrap_or(u16::MAX)).to_ne_bytes()
    }
}

/// Whether `bytes`, their checksum among them, sum up, given what was summed before.
pub(super) fn verifies(before: Sum, bytes: &[u8]) -> bool {
    before.add(bytes).finish() == [0, 0]
}

fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_equals_the_plain_sum() {
        let bytes: Vec<u8> = (0..70_001u32).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
        for length in (0..200).chain([65_519, 65_520, 70_001]) {
            let bytes = &bytes[..length];
            let mut plain = 0u32;
            for pair in bytes.chunks(2) {
                plain += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
                plain = (plain & 0xffff) + (plain >> 16);
            }
            let expected = (!u16::try_from(plain).unwrap()).to_be_bytes();
            assert_eq!(Sum::default().add(bytes).finish(), expected, "{length} bytes");
        }
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&bytes).finish(), [0x22, 0x0d]);
    }
}
