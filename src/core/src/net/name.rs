//! Names of networks that boxes share.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A network's name: as a label of a host name, since `BOX.NETWORK` is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName(String);

impl NetworkName {
    const MAX_LEN: usize = 63;
    /// What `--network` means otherwise.
    const TAKEN: [&str; 3] = ["none", "default", "host"];

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let ends = text.starts_with('-') || text.ends_with('-');
        let word = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        let taken = Self::TAKEN.contains(&text);
        if word && !ends && !taken && (1..=Self::MAX_LEN).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid network name {text:?}")).with_hint(
            "use lower-case letters, digits, '_' and '-', at most 63, and none of none, default and host",
        ))
    }
}

impl TryFrom<String> for NetworkName {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.0
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_like_a_host() {
        for good in ["a", "back-end", "n_1", "0"] {
            assert_eq!(good.parse::<NetworkName>().unwrap().to_string(), good);
        }
        for bad in ["", "A", "a.b", "-a", "a-", "..", "a/b", "none", "default", "host", &"a".repeat(64)] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
    }
}
