//! Names that people give to boxes, and names we invent when they give none.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A box's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 128 characters, as Docker allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoxName(String);

impl BoxName {
    const MAX_LEN: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A readable `adjective_noun` picked by `random`; the caller draws again when it is taken.
    pub fn invent(random: u64) -> Self {
        let pick = |words: &[&'static str], n: u64| {
            let len = u64::try_from(words.len()).unwrap_or(1);
            words[usize::try_from(n % len).unwrap_or(0)]
        };
        Self(format!("{}_{}", pick(ADJECTIVES, random >> 32), pick(NOUNS, random & 0xffff_ffff)))
    }
}

impl FromStr for BoxName {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if first && rest && text.len() <= Self::MAX_LEN {
            Ok(Self(text.to_owned()))
        } else {
            Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid box name {text:?}")).with_hint(
                "use letters, digits, '_', '.' and '-', beginning with a letter or a digit, at most 128",
            ))
        }
    }
}

impl TryFrom<String> for BoxName {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<BoxName> for String {
    fn from(name: BoxName) -> Self {
        name.0
    }
}

impl fmt::Display for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "clever", "cosy", "crisp", "curious", "daring", "deft", "dry", "eager", "early", "exact",
    "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "hardy", "honest",
    "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "mild", "neat",
    "nimble", "noble", "patient", "placid", "polite", "proud", "quick", "quiet", "rapid", "ready", "sharp",
    "silent", "sincere", "sleek", "smooth", "snug", "solid", "steady", "sunny", "swift", "tidy", "trim",
    "upbeat", "vivid", "warm", "wise", "witty", "zesty",
];

const NOUNS: &[&str] = &[
    "acorn", "anchor", "anvil", "arch", "aspen", "badger", "barn", "basin", "beacon", "birch", "bison",
    "bridge", "brook", "cabin", "canyon", "cedar", "cliff", "cloud", "comet", "coral", "crane", "delta",
    "dune", "eagle", "ember", "falcon", "fern", "finch", "fjord", "forge", "fox", "garnet", "glacier",
    "grove", "harbor", "hawk", "heron", "island", "ivy", "juniper", "kestrel", "lagoon", "lantern", "larch",
    "ledge", "lynx", "maple", "marlin", "meadow", "mesa", "moss", "oak", "orchid", "osprey", "otter",
    "pebble", "pine", "prairie", "quarry", "raven", "reef", "ridge", "river", "robin", "sable", "spruce",
    "summit", "thistle", "tundra", "valley", "walnut", "willow", "wren",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        for good in ["a", "web-1", "A.b_c", "0x"] {
            assert_eq!(good.parse::<BoxName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "_a", ".a", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<BoxName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_invented_name_is_a_valid_name() {
        for n in 0..10_000u64 {
            let name = BoxName::invent(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(name.as_str().parse::<BoxName>().is_ok(), "{name}");
        }
    }
}
