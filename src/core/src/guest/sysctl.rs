//! The parameters of a guest's kernel that a user may set.
//!
//! The kernel is the box's own, so these are more than a container's. What names programs that the kernel would run
//! as the guest's root is not among them.

use crate::{BoxError, ErrorKind, Result};

/// What a name begins with, or is.
const ALLOWED: [&str; 24] = [
    "net.",
    "vm.",
    "user.",
    "fs.mqueue.",
    "fs.inotify.",
    "fs.epoll.",
    "fs.aio-max-nr",
    "fs.file-max",
    "fs.nr_open",
    "fs.pipe-",
    "fs.protected_",
    "kernel.msg",
    "kernel.sem",
    "kernel.shm",
    "kernel.domainname",
    "kernel.dmesg_restrict",
    "kernel.kptr_restrict",
    "kernel.perf_event_",
    "kernel.pid_max",
    "kernel.randomize_va_space",
    "kernel.sched_",
    "kernel.threads-max",
    "kernel.unprivileged_",
    "kernel.yama.",
];

/// Refuses a parameter that is none, or none of a user's.
///
/// # Errors
/// `InvalidInput`, with the name.
pub fn validate_sysctl(name: &str, value: &str) -> Result<()> {
    let refuse = |what: &str, hint: &str| {
        Err(BoxError::new(ErrorKind::InvalidInput, format!("{what} {name:?}")).with_hint(hint.to_owned()))
    };
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'/'));
    let parts = name.split(['.', '/']).all(|part| !part.is_empty());
    if !letters || !parts || name.len() > 128 || value.len() > 1024 || value.contains(['\0', '\n']) {
        return refuse("invalid kernel parameter", "write NAME=VALUE, such as net.core.somaxconn=1024");
    }
    if !ALLOWED.iter().any(|allowed| name.starts_with(allowed)) {
        return refuse(
            "a box may not set the kernel parameter",
            "those of net, vm, user, and some of fs and kernel may be set",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_programs_is_not_for_users() {
        for good in ["net.core.somaxconn", "net.ipv4.conf.eth0/1.rp_filter", "kernel.shmmax", "vm.swappiness"]
        {
            validate_sysctl(good, "1").unwrap();
        }
        let bad = [
            "kernel.core_pattern",
            "kernel.modprobe",
            "fs.binfmt_misc.register",
            "kernel.sysrq",
            "net..x",
            "net./../kernel/core_pattern",
            "",
        ];
        for bad in bad {
            assert!(validate_sysctl(bad, "1").is_err(), "{bad}");
        }
        assert!(validate_sysctl("net.core.somaxconn", "1\n2").is_err());
    }
}
