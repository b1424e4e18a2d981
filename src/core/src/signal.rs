//! Signals by name or number, numbered as the Linux guest numbers them.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A Linux signal (signal(7)), 1 to 64. Parses `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(i32);

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// Ends a process at once; it cannot be caught.
    pub const KILL: Self = Self(9);
    /// Asks a process to end.
    pub const TERM: Self = Self(15);

    /// The number, 1 to 64.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl TryFrom<i32> for Signal {
    type Error = BoxError;

    fn try_from(number: i32) -> Result<Self, BoxError> {
        if (1..=RTMAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid signal {number}"))
                .with_hint("signals are numbered 1 to 64"))
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

impl FromStr for Signal {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let invalid = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid signal {text:?}"))
                .with_hint("give a name such as TERM or SIGKILL, or a number from 1 to 64")
        };
        if let Ok(number) = text.parse::<i32>() {
            return Self::try_from(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(index) = NAMES.iter().position(|n| *n == name) {
            return i32::try_from(index + 1).map(Self).map_err(|_| invalid());
        }
        let (base, sign, offset) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) => (RTMIN, '+', rest),
            (_, Some(rest)) => (RTMAX, '-', rest),
            _ => return Err(invalid()),
        };
        if offset.is_empty() {
            return Ok(Self(base));
        }
        let steps: u8 = offset
            .strip_prefix(sign)
            .and_then(|n| n.parse().ok())
            .filter(|n| i32::from(*n) <= RTMAX - RTMIN)
            .ok_or_else(invalid)?;
        Ok(Self(if sign == '+' { base + i32::from(steps) } else { base - i32::from(steps) }))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0 - 1).ok().and_then(|i| NAMES.get(i)) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_parse_by_name_and_number() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sigint", 2),
            ("1", 1),
            ("RTMIN+3", 37),
            ("SIGRTMAX", 64),
            ("SYS", 31),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        for text in ["", "0", "65", "-9", "SIG", "NOPE", "RTMIN+99", "RTMIN3", "RTMAX-31"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
