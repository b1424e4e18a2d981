//! Capabilities by name, and what `--cap-add` and `--cap-drop` make of those that containers get.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// In the order of their numbers (capabilities(7)).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What containers get.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A capability, or all of them. Parses `NET_ADMIN`, `CAP_NET_ADMIN`, `net_admin`, `ALL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Capability {
    /// All of them.
    All,
    /// The one with this number.
    One(u8),
}

impl Capability {
    fn bits(self) -> u64 {
        match self {
            Self::All => (1 << NAMES.len()) - 1,
            Self::One(number) => 1 << number,
        }
    }
}

impl FromStr for Capability {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        if name == "ALL" {
            return Ok(Self::All);
        }
        let number = NAMES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok());
        number.map(Self::One).ok_or_else(|| {
            BoxError::new(ErrorKind::InvalidInput, format!("unknown capability {text:?}"))
                .with_hint("see capabilities(7), such as NET_ADMIN, or say ALL")
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::One(number) => {
                write!(f, "CAP_{}", NAMES.get(usize::from(*number)).unwrap_or(&"UNKNOWN"))
            }
        }
    }
}

impl TryFrom<String> for Capability {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.to_string()
    }
}

/// The capabilities that remain of those that containers get, as bits. As Docker does: with all added, all but what
/// is dropped; with all dropped, what is added; else what containers get, without what is dropped, and with what is
/// added.
pub fn capabilities(add: &[Capability], drop: &[Capability]) -> u64 {
    let bits = |list: &[Capability]| list.iter().fold(0, |bits, capability| bits | capability.bits());
    let single = |list: &[Capability]| {
        bits(&list.iter().copied().filter(|c| *c != Capability::All).collect::<Vec<_>>())
    };
    let default = NAMES
        .iter()
        .enumerate()
        .filter(|(_, name)| DEFAULT.contains(name))
        .fold(0, |bits, (number, _)| bits | 1 << number);
    if add.contains(&Capability::All) {
        Capability::All.bits() & !single(drop)
    } else if drop.contains(&Capability::All) {
        bits(add)
    } else {
        default & !bits(drop) | bits(add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Capability> {
        text.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!("cap_chown".parse::<Capability>().unwrap(), Capability::One(0));
        assert_eq!("SYS_ADMIN".parse::<Capability>().unwrap(), Capability::One(21));
        assert_eq!("CHECKPOINT_RESTORE".parse::<Capability>().unwrap(), Capability::One(40));
        assert_eq!(Capability::One(12).to_string(), "CAP_NET_ADMIN");
        assert!("NOPE".parse::<Capability>().is_err());
    }

    #[test]
    fn adding_and_dropping_goes_as_docker_does_it() {
        // What Docker gives by default, as /proc/self/status shows it.
        assert_eq!(capabilities(&[], &[]), 0xa804_25fb);
        assert_eq!(capabilities(&[], &list("ALL")), 0);
        assert_eq!(capabilities(&list("NET_ADMIN"), &list("ALL")), 1 << 12);
        assert_eq!(capabilities(&list("ALL"), &[]), 0x1ff_ffff_ffff);
        assert_eq!(capabilities(&list("ALL"), &list("CHOWN ALL")), 0x1ff_ffff_fffe);
        assert_eq!(capabilities(&list("NET_ADMIN"), &list("CHOWN")), 0xa804_35fa);
    }
}
