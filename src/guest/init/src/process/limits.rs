//! What a process may use, and the kernel's parameters that a user has set.

use super::failure::Failure;
use a3s_box_core::{Limit, Ulimit};
use rustix::process::{Resource, Rlimit};
use std::collections::BTreeMap;

/// Sets limits that programs expect, since what the kernel gives its first process is lower. Children inherit them.
pub(super) fn set_usual() -> rustix::io::Result<()> {
    let usual = [
        (Resource::Nofile, Some(1024), Some(1 << 20)),
        (Resource::Nproc, None, None),
        (Resource::Sigpending, None, None),
        (Resource::Memlock, Some(8 << 20), Some(8 << 20)),
        // Nobody asked for core files in a box.
        (Resource::Core, Some(0), None),
    ];
    for (resource, current, maximum) in usual {
        rustix::process::setrlimit(resource, Rlimit { current, maximum })?;
    }
    Ok(())
}

/// Sets what a user has asked for in place of the usual limits.
pub(super) fn limit_resources(ulimits: &[Ulimit]) -> Result<(), Failure> {
    for ulimit in ulimits {
        let resource = resource(ulimit.limit);
        let limit = Rlimit { current: ulimit.soft, maximum: ulimit.hard };
        rustix::process::setrlimit(resource, limit)
            .map_err(|e| Failure::io(format!("cannot set the limit {resource:?}"), e))?;
    }
    Ok(())
}

fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::Core => Resource::Core,
        Limit::Cpu => Resource::Cpu,
        Limit::Data => Resource::Data,
        Limit::Fsize => Resource::Fsize,
        Limit::Locks => Resource::Locks,
        Limit::Memlock => Resource::Memlock,
        Limit::Msgqueue => Resource::Msgqueue,
        Limit::Nice => Resource::Nice,
        Limit::Nofile => Resource::Nofile,
        Limit::Nproc => Resource::Nproc,
        Limit::Rss => Resource::Rss,
        Limit::Rtprio => Resource::Rtprio,
        Limit::Rttime => Resource::Rttime,
        Limit::Sigpending => Resource::Sigpending,
        Limit::Stack => Resource::Stack,
    }
}

/// Sets parameters of the kernel, in the guest's own `/proc`; those of the box's namespaces are this process's.
pub(super) fn set_parameters(sysctls: &BTreeMap<String, String>) -> Result<(), Failure> {
    for (name, value) in sysctls {
        // A name with slashes may have dots in its parts, as those of network devices do.
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        // Opened without O_CREAT: there are no others.
        std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/sys/{path}"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
            .map_err(|e| Failure::io(format!("cannot set the kernel parameter {name} to {value:?}"), e))?;
    }
    Ok(())
}
