//! Ports of a box that are reached from outside.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl FromStr for Transport {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid protocol {text:?}"))
                .with_hint("write tcp or udp")),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Tcp { "tcp" } else { "udp" })
    }
}

/// A published port: `[IP:]HOST:GUEST[/udp]`. On the loopback address unless another is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortMapping {
    /// Where the host listens; port 0 has the system pick one.
    pub host: SocketAddr,
    /// The port inside the box.
    pub guest: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

impl FromStr for PortMapping {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let refuse = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid published port {text:?}"))
                .with_hint("write HOST:GUEST, IP:HOST:GUEST or [IPV6]:HOST:GUEST, with /udp after it for UDP")
        };
        let (ports, transport) = match text.rsplit_once('/') {
            Some((ports, word)) => (ports, word.parse()?),
            None => (text, Transport::Tcp),
        };
        let (head, guest) = ports.rsplit_once(':').ok_or_else(refuse)?;
        let (ip, host) = match head.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), head),
            Some((ip, host)) => {
                let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
                let ip: IpAddr = bare.unwrap_or(ip).parse().map_err(|_| refuse())?;
                if ip.is_ipv6() != bare.is_some() {
                    return Err(refuse());
                }
                (ip, host)
            }
        };
        let host = SocketAddr::new(ip, host.parse().map_err(|_| refuse())?);
        let guest: u16 = guest.parse().map_err(|_| refuse())?;
        if guest == 0 { Err(refuse()) } else { Ok(Self { host, guest, transport }) }
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.guest, self.transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_published_on_the_loopback_address_unless_told() {
        let read = |text: &str| text.parse::<PortMapping>().map(|m| m.to_string());
        assert_eq!(read("8080:80").unwrap(), "127.0.0.1:8080:80/tcp");
        assert_eq!(read("0:80").unwrap(), "127.0.0.1:0:80/tcp");
        assert_eq!(read("0.0.0.0:53:5353/udp").unwrap(), "0.0.0.0:53:5353/udp");
        assert_eq!(read("[::1]:80:80").unwrap(), "[::1]:80:80/tcp");
        for bad in
            ["", "80", "80:", ":80", "a:80", "80:0", "80:80/sctp", "1.2.3:80:80", "::1:80:80", "1:70000"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
