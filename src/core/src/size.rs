//! Amounts of memory and disk as people write them.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of bytes. Parses `512m`, `2g`, `1.5GiB` as Docker does: the units are binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// This amount in whole mebibytes, rounded up.
    pub const fn to_mib(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }
}

impl FromStr for Bytes {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let invalid = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid size {text:?}"))
                .with_hint("write a number and a unit, such as 512m, 2g or 1.5GiB")
        };
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(invalid()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.len() > 6 || (number.contains('.') && fraction.is_empty()) {
            return Err(invalid());
        }
        let unit = 1u64 << shift;
        let whole: u64 = whole.parse().map_err(|_| invalid())?;
        let mut bytes = whole.checked_mul(unit).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            let digits: u128 = fraction.parse().map_err(|_| invalid())?;
            let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| invalid())?);
            let part = u64::try_from(digits * u128::from(unit) / scale).map_err(|_| invalid())?;
            bytes = bytes.checked_add(part).ok_or_else(invalid)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut unit = 0;
        let mut scale = 1u64;
        while unit + 1 < UNITS.len() && self.0 / scale >= 1024 {
            scale <<= 10;
            unit += 1;
        }
        let tenths = u128::from(self.0) * 10 / u128::from(scale);
        if tenths.is_multiple_of(10) {
            write!(f, "{}{}", tenths / 10, UNITS[unit])
        } else {
            write!(f, "{}.{}{}", tenths / 10, tenths % 10, UNITS[unit])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("4k", 4096),
            ("512m", 512 << 20),
            ("2G", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("0.5m", 512 << 10),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
        for text in ["", "m", "-1", "1..5m", "1x", "99999999999999999999", "99999999t", ".5m", "1.m", "1e3"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_short() {
        assert_eq!(Bytes(0).to_string(), "0B");
        assert_eq!(Bytes(1536).to_string(), "1.5KiB");
        assert_eq!(Bytes::mib(512).to_string(), "512MiB");
        assert_eq!(Bytes::gib(10).to_string(), "10GiB");
    }
}
