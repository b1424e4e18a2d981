//! Blocks of addresses.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A block of addresses: `10.0.0.0/8`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// The block of `length` leading bits of `address`, which has no bits beyond them.
    pub const fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length }
    }

    /// Whether `address` is in the block.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.length);
                u32::from(net).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.length);
                u128::from(net).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let refuse = |hint: String| {
            Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid network {text:?}")).with_hint(hint))
        };
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return refuse("write it as 10.0.0.0/8, 2001:db8::/32 or one address".into());
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length.map(str::parse::<u8>) {
            None => most,
            Some(Ok(length)) if length <= most => length,
            _ => return refuse(format!("the length is a number from 0 to {most}")),
        };
        let net = match address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((u32::from(a) & mask).into())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((u128::from(a) & mask).into())
            }
        };
        // Somebody who writes 10.1.2.3/8 means something else than what he wrote.
        if net != address {
            return refuse(format!("write {net}/{length}, or {address} for that address alone"));
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = self.length == if self.address.is_ipv4() { 32 } else { 128 };
        if single { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.length) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_what_they_say() {
        let holds =
            |block: &str, address: &str| block.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        assert!(
            holds("::/0", "2001:db8::1") && holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe80::1")
        );
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.6"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "10", "10.0.0.0/33", "10.0.0.0/-1", "10.1.2.3/8", "::/129", "10.0.0.0/8/8", "a/8"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
