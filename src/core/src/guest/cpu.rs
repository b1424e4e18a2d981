//! How much of the processor a box gets.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of CPUs in thousandths. Parses `2`, `0.5`, `1.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuShare(u32);

impl CpuShare {
    /// The kernel gives no less.
    const LEAST: u32 = 10;

    /// The vCPUs that it takes.
    pub const fn vcpus(self) -> u32 {
        self.0.div_ceil(1000)
    }

    /// Itself, where it is less than the vCPUs that it takes.
    pub fn limit(self) -> Option<Self> {
        (!self.0.is_multiple_of(1000)).then_some(self)
    }

    /// Thousandths of a CPU.
    pub const fn thousandths(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuShare {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let invalid = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid number of CPUs {text:?}"))
                .with_hint("write a number such as 2 or 0.5, with at most three digits after the point")
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
            return Err(invalid());
        }
        let whole: u32 = whole.parse().map_err(|_| invalid())?;
        let fraction: u32 = format!("{fraction:0<3}").parse().map_err(|_| invalid())?;
        let share = whole.checked_mul(1000).and_then(|n| n.checked_add(fraction)).ok_or_else(invalid)?;
        if (1..Self::LEAST).contains(&share) {
            return Err(invalid().with_hint("ask for 0.01 or more"));
        }
        Ok(Self(share))
    }
}

impl fmt::Display for CpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1000 {
            0 => write!(f, "{}", self.0 / 1000),
            rest => {
                let text = format!("{}.{rest:03}", self.0 / 1000);
                f.write_str(text.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_take_whole_vcpus() {
        for (text, vcpus, limit) in
            [("2", 2, None), ("0.5", 1, Some(500)), ("1.25", 2, Some(1250)), ("0.01", 1, Some(10))]
        {
            let share: CpuShare = text.parse().unwrap();
            assert_eq!((share.vcpus(), share.limit().map(CpuShare::thousandths)), (vcpus, limit), "{text}");
            assert_eq!(share.to_string(), text);
        }
        for bad in ["", ".5", "1.", "-1", "1e3", "0.0001", "0.001", "9999999999", "x"] {
            assert!(bad.parse::<CpuShare>().is_err(), "{bad}");
        }
    }
}
