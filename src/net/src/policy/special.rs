//! Addresses that are not the internet, whatever name leads to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    /// This host: loopback, and the unspecified addresses that mean it too.
    Loopback,
    /// Where clouds keep credentials.
    Metadata,
    /// The host's own link.
    LinkLocal,
    /// Private networks, shared carrier space among them.
    Private,
    /// Groups, and broadcast.
    Multicast,
    /// Addresses that wrap an IPv4 address: mapped, compatible, 6to4, Teredo.
    Wrapped,
    /// Addresses that nobody has.
    Reserved,
}

impl Special {
    /// The name in rules and reasons.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loopback => "host loopback",
            Self::Metadata => "cloud metadata",
            Self::LinkLocal => "link-local",
            Self::Private => "private range",
            Self::Multicast => "multicast",
            Self::Wrapped => "wrapped IPv4",
            Self::Reserved => "reserved",
        }
    }

    /// What `address` is. `None` for those of the internet.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [0 | 127, ..] => Some(Self::Loopback),
            // EC2 and most others; ECS of AWS; Alibaba; Azure; Oracle.
            [169, 254, 169, 254]
            | [169, 254, 170, 2]
            | [100, 100, 100, 200]
            | [168, 63, 129, 16]
            | [192, 0, 0, 192] => Some(Self::Metadata),
            [169, 254, ..] => Some(Self::LinkLocal),
            [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] | [198, 18..=19, ..] => {
                Some(Self::Private)
            }
            [224..=239, ..] | [255, 255, 255, 255] => Some(Self::Multicast),
            [240..=255, ..] | [192, 0, 0, _] => Some(Self::Reserved),
            _ => None,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Option<Self> {
        let s = address.segments();
        let embedded = |high: u16, low: u16| {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Ipv4Addr::new(a, b, c, d)
        };
        match s {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Self::Loopback),
            [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => {
                Some(Self::Metadata)
            }
            // A translator turns it into the IPv4 address inside, which must be one of the internet.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Self::of_v4(embedded(high, low)),
            [0x64, 0xff9b, ..] => Some(Self::Private),
            [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(Self::Wrapped),
            [0x2002, ..] | [0x2001, 0, ..] => Some(Self::Wrapped),
            [0xfe80..=0xfebf, ..] => Some(Self::LinkLocal),
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some(Self::Private),
            [0xff00..=0xffff, ..] => Some(Self::Multicast),
            [0x2000..=0x3fff, ..] => None,
            _ => Some(Self::Reserved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_internet_has_a_name() {
        let of = |text: &str| Special::of(text.parse().unwrap());
        for (kind, addresses) in [
            (Special::Loopback, &["127.0.0.1", "127.255.0.9", "0.0.0.0", "0.1.2.3", "::", "::1"][..]),
            (Special::Metadata, &["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"]),
            (Special::LinkLocal, &["169.254.0.1", "fe80::1", "febf::1"]),
            (
                Special::Private,
                &["10.0.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fd12::1", "fec0::1"],
            ),
            (Special::Multicast, &["224.0.0.1", "255.255.255.255", "ff02::1"]),
            (
                Special::Wrapped,
                &["::ffff:8.8.8.8", "::8.8.8.8", "2002:808:808::1", "2001::1", "::ffff:0:8.8.8.8"],
            ),
            (Special::Reserved, &["240.0.0.1", "192.0.0.8", "4000::1", "100::1"]),
        ] {
            for address in addresses {
                assert_eq!(of(address), Some(kind), "{address}");
            }
        }
        assert_eq!(of("64:ff9b::7f00:1"), Some(Special::Loopback));
        assert_eq!(of("64:ff9b::a9fe:a9fe"), Some(Special::Metadata));
        assert_eq!(of("64:ff9b:1::1"), Some(Special::Private));
        for open in ["8.8.8.8", "172.32.0.1", "192.0.2.1", "203.0.113.1", "2606:4700::1", "64:ff9b::808:808"]
        {
            assert_eq!(of(open), None, "{open}");
        }
    }
}
