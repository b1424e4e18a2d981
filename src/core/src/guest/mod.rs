//! What a box finds inside: its mounts, limits and privileges, of which the guest init makes what they say.

mod capability;
mod cpu;
mod host_entry;
mod sysctl;
mod tmpfs;
mod ulimit;

pub use capability::{Capability, capabilities};
pub use cpu::CpuShare;
pub use host_entry::HostEntry;
pub use sysctl::validate_sysctl;
pub use tmpfs::Tmpfs;
pub use ulimit::{Limit, Ulimit};

use crate::{BoxError, Bytes, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most of anything that is listed one by one.
const MAX_LISTED: usize = 128;
/// The longest path of a mount.
const MAX_PATH: usize = 1024;

/// What a user asked of the inside of a box. Records hold it, and `boot.json` tells it to the guest init.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestConfig {
    /// Whether nothing but the mounts beside it can be written in the root.
    pub read_only: bool,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// The size of `/dev/shm`; 64 MiB when absent.
    pub shm_size: Option<Bytes>,
    /// Resource limits of every process, over our own.
    pub ulimits: Vec<Ulimit>,
    /// Parameters of the guest kernel, by their names with dots.
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities over those that containers get.
    pub cap_add: Vec<Capability>,
    /// Capabilities that are taken.
    pub cap_drop: Vec<Capability>,
    /// Whether processes may make every system call but those that lead to the host.
    pub unconfined: bool,
    /// Names in `/etc/hosts`, beside those of every box.
    pub hosts: Vec<HostEntry>,
    /// Supplementary groups of every process, by name or number.
    pub groups: Vec<String>,
    /// Whether the first process of the box collects what others leave behind, and starts the command as the second.
    pub init: bool,
    /// How many processes and threads there may be; none for no limit.
    pub pids: Option<u32>,
    /// How much processor time all of them get, where that is less than the vCPUs have.
    pub cpu_limit: Option<CpuShare>,
}

impl GuestConfig {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// `InvalidInput`, with the value.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String, hint: String| {
            Err(BoxError::new(ErrorKind::InvalidInput, message).with_hint(hint))
        };
        let listed = [
            ("tmpfs mounts", self.tmpfs.len()),
            ("ulimits", self.ulimits.len()),
            ("kernel parameters", self.sysctls.len()),
            ("host names", self.hosts.len()),
            ("groups", self.groups.len()),
        ];
        if let Some((what, count)) = listed.into_iter().find(|(_, count)| *count > MAX_LISTED) {
            return refuse(format!("{count} {what} are too many"), format!("at most {MAX_LISTED}"));
        }
        if self.shm_size.is_some_and(|size| size.0 == 0) {
            return refuse("invalid size 0 of /dev/shm".into(), "leave --shm-size out for 64m".into());
        }
        for (index, tmpfs) in self.tmpfs.iter().enumerate() {
            if self.tmpfs[..index].iter().any(|other| other.path == tmpfs.path) {
                return refuse(format!("two file systems at {}", tmpfs.path), "mount one of them".into());
            }
        }
        self.sysctls.iter().try_for_each(|(name, value)| validate_sysctl(name, value))?;
        if let Some(group) = self.groups.iter().find(|g| g.is_empty() || g.contains(['\0', ':', '\n'])) {
            return refuse(format!("invalid group {group:?}"), "name one, or give its number".into());
        }
        if self.pids == Some(0) {
            return refuse("invalid limit of 0 processes".into(), "use -1 for no limit".into());
        }
        Ok(())
    }

    /// The capabilities of the box's root, as bits.
    pub fn capabilities(&self) -> u64 {
        capabilities(&self.cap_add, &self.cap_drop)
    }
}

/// The place of a mount in a box: an absolute path that is none of the guest's own.
///
/// # Errors
/// `InvalidInput`, with the reason.
pub fn mount_point(path: &str) -> Result<String> {
    let refuse = |why: &str, hint: &str| {
        Err(BoxError::new(ErrorKind::InvalidInput, format!("cannot mount at {path:?}: {why}"))
            .with_hint(hint.to_owned()))
    };
    if !path.starts_with('/') {
        return refuse("the path is not absolute", "begin it with /");
    }
    if path.len() > MAX_PATH || path.contains('\0') {
        return refuse("the path is too long or holds a NUL byte", "choose another");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.first() {
        None => refuse("it is the root", "choose a folder in it"),
        Some(_) if parts.contains(&"..") => refuse("the path leads up", "write it without .."),
        Some(&("proc" | "sys" | "dev")) => {
            refuse("it is the guest's own", "choose a folder outside /proc, /sys and /dev")
        }
        Some(_) => Ok(format!("/{}", parts.join("/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_stay_off_what_is_the_guests_own() {
        assert_eq!(mount_point("/a//b/./c/").unwrap(), "/a/b/c");
        for bad in ["", "a", "/", "/.", "/a/../proc", "/proc/x", "/dev/shm", "/sys", "/a\0"] {
            assert!(mount_point(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nonsense_inside_a_box_is_refused() {
        let refused = |change: &dyn Fn(&mut GuestConfig)| {
            let mut guest = GuestConfig::default();
            guest.validate().unwrap();
            change(&mut guest);
            guest.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(&|g| g.pids = Some(0)), "invalid limit of 0 processes");
        assert_eq!(refused(&|g| g.shm_size = Some(Bytes(0))), "invalid size 0 of /dev/shm");
        assert_eq!(refused(&|g| g.groups = vec!["a:b".into()]), "invalid group \"a:b\"");
        let twice = refused(&|g| g.tmpfs = vec!["/a".parse().unwrap(), "/a/:ro".parse().unwrap()]);
        assert_eq!(twice, "two file systems at /a");
    }
}
