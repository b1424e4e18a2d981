//! The host, thing by thing: what is well, what is not, and what to do about it.

#[cfg(target_os = "linux")]
#[path = "checks/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "checks/macos.rs"]
mod system;

use super::{Facts, Qemu};
use crate::Home;
use a3s_box_core::{BoxError, Kernel, KvmVerdict};
use serde::Serialize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A box's first disk and a rootfs image fit into this.
const ROOM: u64 = 1 << 30;

/// How well a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Well,
    /// Boxes run without it, but not as well.
    Lacking,
    /// Boxes do not run.
    Broken,
}

/// One thing that boxes need, looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The thing.
    pub name: &'static str,
    /// How well it is.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it, where something is to be done.
    pub remedy: Option<String>,
}

impl Check {
    fn well(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, health: Health::Well, found: found.into(), remedy: None }
    }

    /// `boxes.json`, which cannot be read.
    pub(crate) fn state(error: &BoxError) -> Self {
        let remedy = error.hint().unwrap_or("see what it is");
        Self::not("boxes.json", Health::Broken, error.to_string(), remedy)
    }

    fn not(name: &'static str, health: Health, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, health, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything.
pub(crate) fn all(home: &Home, facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        system::accelerator(facts),
        krun(facts),
        qemu(facts),
        kernel(facts, Kernel::Standard),
        kernel(facts, Kernel::Cpl3),
        mkfs(),
        room(home),
        privacy(home),
    ];
    checks.extend(system::walls(facts));
    checks
}

fn krun(facts: &Facts) -> Check {
    match &facts.krun {
        Some(version) => Check::well("libkrun", version),
        None => Check::not(
            "libkrun",
            Health::Lacking,
            "not part of this build",
            "build without A3S_DEPS_STUB and tee-sev",
        ),
    }
}

fn qemu(facts: &Facts) -> Check {
    match &facts.qemu {
        Some(qemu) => {
            let version = qemu.version().unwrap_or_else(|| "of unknown version".to_owned());
            Check::well("qemu", format!("{} ({version})", qemu.0.display()))
        }
        None => Check::not(
            "qemu",
            // Without it, only hardware runs boxes.
            if facts.runs_hardware() { Health::Lacking } else { Health::Broken },
            format!("{} is not installed", Qemu::PROGRAM),
            system::GET_QEMU,
        ),
    }
}

fn kernel(facts: &Facts, flavor: Kernel) -> Check {
    let name = if flavor == Kernel::Standard { "standard kernel" } else { "cpl3 kernel" };
    if facts.kernels.contains(&flavor) {
        return Check::well(name, "installed");
    }
    let needed = matches!(facts.kvm, KvmVerdict::Ring3(_)) == (flavor == Kernel::Cpl3);
    if flavor == Kernel::Cpl3 && !needed {
        return Check::well(name, "not installed, and this host has no use for it");
    }
    Check::not(
        name,
        if facts.kernels.is_empty() { Health::Broken } else { Health::Lacking },
        "not installed",
        "build and install it with `cargo xtask build`, or name its folder in A3S_BOX_KERNEL_DIR",
    )
}

fn mkfs() -> Check {
    let found = std::env::split_paths(&crate::engine::mkfs_path()).any(|dir| dir.join("mkfs.ext4").is_file());
    if found {
        return Check::well("mkfs.ext4", "installed");
    }
    Check::not(
        "mkfs.ext4",
        Health::Broken,
        "not installed; boxes run with --ephemeral only",
        system::GET_MKFS,
    )
}

fn room(home: &Home) -> Check {
    let path = home.path();
    match rustix::fs::statvfs(path) {
        Ok(fs) => {
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            let found = format!("{} MiB free in {}", free >> 20, path.display());
            if free >= ROOM {
                return Check::well("disk", found);
            }
            Check::not("disk", Health::Lacking, found, "free some space, or set A3S_HOME to another disk")
        }
        Err(e) => Check::not(
            "disk",
            Health::Broken,
            format!("cannot look at {}: {e}", path.display()),
            "set A3S_HOME to a folder of yours",
        ),
    }
}

fn privacy(home: &Home) -> Check {
    let path = home.path().display();
    match std::fs::metadata(home.path()) {
        Ok(meta)
            if meta.permissions().mode() & 0o077 == 0
                && meta.uid() == rustix::process::geteuid().as_raw() =>
        {
            Check::well("state directory", format!("{path}, its owner's alone"))
        }
        Ok(_) => Check::not(
            "state directory",
            Health::Lacking,
            format!("{path} is open to other users"),
            format!("run `chmod 700 {path}`; `a3s-box doctor --repair` does"),
        ),
        Err(e) => Check::not(
            "state directory",
            Health::Broken,
            format!("cannot look at {path}: {e}"),
            "set A3S_HOME to a folder of yours",
        ),
    }
}
