//! Identities: of a box, and of a process on the host.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The identity of a box: 32 lower-case hexadecimal digits, drawn at random when it is created.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoxId(String);

impl BoxId {
    /// How many digits `ps` shows.
    pub const SHORT: usize = 12;
    const LEN: usize = 32;

    /// The id made of these 16 (random) bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// All 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as tables show them.
    pub fn short(&self) -> &str {
        &self.0[..Self::SHORT]
    }
}

impl FromStr for BoxId {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == Self::LEN && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid box id {text:?}")))
        }
    }
}

impl TryFrom<String> for BoxId {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<BoxId> for String {
    fn from(id: BoxId) -> Self {
        id.0
    }
}

impl fmt::Display for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One process of the host, told apart from a later process that got the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostProcess {
    /// The process id.
    pub pid: i32,
    /// When it started, in the host's own ticks (on Linux field 22 of `/proc/PID/stat`, see proc(5)).
    pub start_time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_hex_digits_and_nothing_else() {
        let id = BoxId::from_bytes([0xab; 16]);
        assert_eq!(id.as_str(), "ab".repeat(16));
        assert_eq!(id.short(), "abababababab");
        assert_eq!(id.as_str().parse::<BoxId>().unwrap(), id);
        for bad in ["", "ab", &"AB".repeat(16), &"../".repeat(11), &"ab".repeat(17)] {
            assert!(bad.parse::<BoxId>().is_err(), "{bad}");
        }
    }
}
