//! A line of `/etc/hosts`.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A name and its address. Parses `name:address` and `name=address`, as Docker does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostEntry {
    /// The name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

impl FromStr for HostEntry {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let invalid = |hint: &str| {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid host {text:?}"))
                .with_hint(hint.to_owned())
        };
        let form = "write NAME:ADDRESS, such as db:192.0.2.7";
        let (name, address) =
            text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| invalid(form))?;
        if address == "host-gateway" {
            return Err(invalid("a box's gateway is no way to the host; give the host's own address"));
        }
        let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if name.is_empty() || name.len() > 253 || !letters {
            return Err(invalid(form));
        }
        let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let address = address.parse().map_err(|_| invalid(form))?;
        Ok(Self { name: name.to_owned(), address })
    }
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.address)
    }
}

impl TryFrom<String> for HostEntry {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<HostEntry> for String {
    fn from(entry: HostEntry) -> Self {
        entry.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_docker_writes_them() {
        for (text, said) in [
            ("db:192.0.2.7", "db:192.0.2.7"),
            ("db=::1", "db:::1"),
            ("my-host.local:[2001:db8::1]", "my-host.local:2001:db8::1"),
        ] {
            let entry: HostEntry = text.parse().unwrap();
            assert_eq!(entry.to_string(), said);
            assert_eq!(said.parse::<HostEntry>().unwrap(), entry);
        }
        for bad in ["", "db", "db:x", ":1.2.3.4", "a b:1.2.3.4", "a\n:1.2.3.4", "db:host-gateway"] {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad:?}");
        }
    }
}
