//! What the runtime tells the shim of a box's network.

use super::{NetPolicy, NetResolver, PortMapping, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// The addresses on the link between a box and its gateway. They are the same in every box: each has a link
/// of its own, and nobody else sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetAddresses {
    /// The guest's link address.
    pub mac: [u8; 6],
    /// The gateway's link address.
    pub gateway_mac: [u8; 6],
    /// The guest's IPv4 address.
    pub guest4: Ipv4Addr,
    /// The gateway's IPv4 address, also that of its DNS.
    pub gateway4: Ipv4Addr,
    /// The length of the IPv4 prefix that both are in.
    pub prefix4: u8,
    /// The guest's IPv6 address.
    pub guest6: Ipv6Addr,
    /// The gateway's IPv6 address.
    pub gateway6: Ipv6Addr,
    /// The length of the IPv6 prefix that both are in.
    pub prefix6: u8,
    /// The largest IP datagram on the link.
    pub mtu: u16,
}

impl NetAddresses {
    /// The guest's link address as ip-link(8) and QEMU write it: `02:a3:50:00:00:02`.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

impl Default for NetAddresses {
    fn default() -> Self {
        Self {
            mac: [0x02, 0xa3, 0x50, 0, 0, 2],
            gateway_mac: [0x02, 0xa3, 0x50, 0, 0, 1],
            guest4: Ipv4Addr::new(10, 163, 80, 2),
            gateway4: Ipv4Addr::new(10, 163, 80, 1),
            prefix4: 24,
            guest6: Ipv6Addr::new(0xfda3, 0x50, 0, 0, 0, 0, 0, 2),
            gateway6: Ipv6Addr::new(0xfda3, 0x50, 0, 0, 0, 0, 0, 1),
            prefix6: 64,
            mtu: 65_520,
        }
    }
}

/// How much of the host's network a box may use. Zero means no limit, but for the caps, which always hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetLimits {
    /// Bytes a second, each way.
    pub rate: u64,
    /// Bytes that may go at once after a pause.
    pub burst: u64,
    /// Bytes a second to and from one address, each way.
    pub destination_rate: u64,
    /// Bytes that may go to or from one address at once after a pause.
    pub destination_burst: u64,
    /// Connections at a time, UDP flows and pings among them.
    pub connections: u32,
    /// Connections to be opened a second.
    pub connection_rate: u32,
    /// DNS queries a second.
    pub dns_rate: u32,
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            rate: 0,
            burst: 0,
            destination_rate: 0,
            destination_burst: 0,
            connections: 4096,
            connection_rate: 2000,
            dns_rate: 200,
        }
    }
}

/// A box of the same network, in the file `<name>.json` beside its socket `<name>.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourSpec {
    /// Its addresses in the network.
    pub addresses: Vec<IpAddr>,
}

/// A network that the box is on, under a name and addresses that other boxes of it know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkMembership {
    /// The network's name.
    pub network: String,
    /// The folder in which its boxes find each other.
    pub folder: PathBuf,
    /// This box's name in it.
    pub name: String,
    /// This box's addresses in it.
    pub addresses: Vec<IpAddr>,
}

/// The network of one box, complete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetSpec {
    /// The addresses on its link.
    pub addresses: NetAddresses,
    /// What it may reach.
    pub policy: NetPolicy,
    /// How much.
    pub limits: NetLimits,
    /// Its published ports.
    pub publish: Vec<PortMapping>,
    /// Resolvers in place of the host's.
    pub resolvers: Vec<NetResolver>,
    /// Names that are answered with these addresses.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// The networks that it shares with other boxes.
    pub networks: Vec<NetworkMembership>,
    /// The secrets that it uses, without their values.
    pub secrets: Vec<Secret>,
    /// PEM files of authorities that are believed beside those of the host, where secrets or queries go over TLS.
    pub authorities: Vec<PathBuf>,
}

/// Whom a box has to believe, so that its secrets can be put into what it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetTrust {
    /// The authority of the box's own network, as PEM.
    pub authority: String,
    /// Those that the host believes, as PEM, for images that know none.
    pub roots: String,
}

impl NetTrust {
    /// Where the box finds its authorities: those of its image, or else of the host, and that of its own network.
    pub const BUNDLE: &str = "/usr/share/a3s-box/ca-bundle.crt";
    /// Where Debian and others look for authorities when they put a bundle together.
    pub const AUTHORITY: &str = "/usr/local/share/ca-certificates/a3s-box.crt";
    /// The variables by which programs are told of a bundle.
    pub const VARIABLES: [&str; 9] = [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "DENO_CERT",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "AWS_CA_BUNDLE",
    ];
}
