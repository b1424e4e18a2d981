//! Resource limits of processes.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is limited (setrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Size of a core file.
    Core,
    /// Seconds of processor time.
    Cpu,
    /// Size of the data segment.
    Data,
    /// Size of a file.
    Fsize,
    /// Locks on files.
    Locks,
    /// Memory that is locked.
    Memlock,
    /// Bytes in message queues.
    Msgqueue,
    /// The ceiling of the nice value.
    Nice,
    /// Open files.
    Nofile,
    /// Processes of the user.
    Nproc,
    /// Resident memory; Linux does not enforce it.
    Rss,
    /// The ceiling of the real-time priority.
    Rtprio,
    /// Microseconds of real-time scheduling without a pause.
    Rttime,
    /// Signals that wait.
    Sigpending,
    /// Size of the stack.
    Stack,
}

const NAMES: [(&str, Limit); 15] = [
    ("core", Limit::Core),
    ("cpu", Limit::Cpu),
    ("data", Limit::Data),
    ("fsize", Limit::Fsize),
    ("locks", Limit::Locks),
    ("memlock", Limit::Memlock),
    ("msgqueue", Limit::Msgqueue),
    ("nice", Limit::Nice),
    ("nofile", Limit::Nofile),
    ("nproc", Limit::Nproc),
    ("rss", Limit::Rss),
    ("rtprio", Limit::Rtprio),
    ("rttime", Limit::Rttime),
    ("sigpending", Limit::Sigpending),
    ("stack", Limit::Stack),
];

/// A limit and its values; none for no limit. Parses `nofile=1024`, `nofile=1024:2048`, `core=-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ulimit {
    /// What is limited.
    pub limit: Limit,
    /// What holds.
    pub soft: Option<u64>,
    /// How far a process may raise it.
    pub hard: Option<u64>,
}

impl Ulimit {
    /// What is limited, by name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, limit)| *limit == self.limit).map_or("", |(name, _)| name)
    }
}

impl FromStr for Ulimit {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let invalid = |hint: String| {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid limit {text:?}")).with_hint(hint)
        };
        let form = || invalid("write NAME=SOFT[:HARD], such as nofile=1024:2048".to_owned());
        let (name, values) = text.split_once('=').ok_or_else(form)?;
        let Some((_, limit)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let known = NAMES.map(|(name, _)| name).join(", ");
            return Err(invalid(format!("the limits are {known}")));
        };
        let value = |text: &str| match text {
            "-1" | "unlimited" => Ok(None),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Some).map_err(|_| form())
            }
            _ => Err(form()),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (value(soft)?, value(hard)?);
        if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
            return Err(invalid("the first value may not be above the second".to_owned()));
        }
        Ok(Self { limit: *limit, soft, hard })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |value| value.to_string());
        write!(f, "{}={}:{}", self.name(), value(self.soft), value(self.hard))
    }
}

impl TryFrom<String> for Ulimit {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<Ulimit> for String {
    fn from(ulimit: Ulimit) -> Self {
        ulimit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_docker_writes_them() {
        for (text, said) in [
            ("nofile=1024", "nofile=1024:1024"),
            ("nofile=1024:2048", "nofile=1024:2048"),
            ("core=-1", "core=-1:-1"),
            ("nproc=5:unlimited", "nproc=5:-1"),
        ] {
            let ulimit: Ulimit = text.parse().unwrap();
            assert_eq!(ulimit.to_string(), said);
            assert_eq!(said.parse::<Ulimit>().unwrap(), ulimit);
        }
        for bad in
            ["", "nofile", "nofile=", "nofile=x", "files=1", "nofile=2:1", "nofile=-1:5", "nofile=1:2:3"]
        {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad}");
        }
    }
}
