//! Sets of ports in rules.

use crate::{BoxError, ErrorKind};
use std::fmt;
use std::str::FromStr;

/// The ports that a rule is about: all, or a few ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    const MOST: usize = 64;

    /// Every port.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether that is every port.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `port` is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.is_all() || self.0.iter().any(|&(first, last)| (first..=last).contains(&port))
    }
}

impl FromStr for Ports {
    type Err = BoxError;

    /// `443`, `80,443`, `8000-8999`.
    fn from_str(text: &str) -> Result<Self, BoxError> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = (first.parse().ok()?, last.parse().ok()?);
            (range.0 > 0 && range.0 <= range.1).then_some(range)
        };
        match text.split(',').map(range).collect::<Option<Vec<_>>>() {
            Some(ranges) if ranges.len() <= Self::MOST => Ok(Self(ranges)),
            _ => Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid ports {text:?}"))
                .with_hint("write 443, 80,443 or 8000-8999")),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}
