//! Whom names are asked of: an address, or over TLS a server that proves its name.

use super::secret::SecretHost;
use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A resolver: `ADDRESS[:PORT]`, or `tls://NAME@ADDRESS[:PORT]` for DNS over TLS (RFC 7858).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetResolver {
    /// Where it is.
    pub address: SocketAddr,
    /// The name that it has to prove, where it is spoken with over TLS.
    pub name: Option<String>,
}

const PORT: u16 = 53;
const TLS_PORT: u16 = 853;

impl From<SocketAddr> for NetResolver {
    fn from(address: SocketAddr) -> Self {
        Self { address, name: None }
    }
}

impl FromStr for NetResolver {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let refuse = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid resolver {text:?}"))
                .with_hint("write 192.0.2.53, [2001:db8::53]:5353 or tls://dns.example@192.0.2.53")
        };
        let (name, address, port) = match text.strip_prefix("tls://") {
            None => (None, text, PORT),
            Some(rest) => {
                let (name, address) = rest.split_once('@').ok_or_else(refuse)?;
                let host: SecretHost = name.parse().map_err(|_| refuse())?;
                if name.contains([':', '/']) {
                    return Err(refuse());
                }
                (Some(host.name), address, TLS_PORT)
            }
        };
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let address = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)).or_else(|_| address.parse());
        Ok(Self { address: address.map_err(|_| refuse())?, name })
    }
}

impl fmt::Display for NetResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "tls://{name}@{}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl TryFrom<String> for NetResolver {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<NetResolver> for String {
    fn from(resolver: NetResolver) -> Self {
        resolver.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_an_address_or_has_a_name_to_prove() {
        let read = |text: &str| text.parse::<NetResolver>().map(|r| r.to_string());
        assert_eq!(read("192.0.2.53").unwrap(), "192.0.2.53:53");
        assert_eq!(read("2001:db8::53").unwrap(), "[2001:db8::53]:53");
        assert_eq!(read("[::1]:5353").unwrap(), "[::1]:5353");
        assert_eq!(read("tls://DNS.example@192.0.2.53").unwrap(), "tls://dns.example@192.0.2.53:853");
        assert_eq!(
            read("tls://dns.example@[2001:db8::53]:8853").unwrap(),
            "tls://dns.example@[2001:db8::53]:8853"
        );
        for bad in [
            "",
            "dns.example",
            "tls://192.0.2.53",
            "tls://@192.0.2.1",
            "tls://1.2.3.4@192.0.2.1",
            "tls://a:1@::1",
            "https://a@::1",
            "192.0.2.1:x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
