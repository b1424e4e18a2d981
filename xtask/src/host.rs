//! What this host runs boxes with, as the preflight of the programs that were just built finds it.

use crate::step::quietly;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// A VMM with an accelerator, and the kernel that this host needs for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) vmm: &'static str,
    pub(crate) accel: &'static str,
    kernel: &'static str,
}

impl Pair {
    /// Has `command` ask for it, by name.
    pub(crate) fn ask(self, command: &mut Command) {
        command.env("A3S_BOX_VMM", self.vmm).env("A3S_BOX_ACCEL", self.accel);
        command.env("A3S_BOX_KERNEL", self.kernel);
    }

    /// The name of that kernel's file.
    pub(crate) fn kernel_file(self) -> &'static str {
        match self.kernel {
            "standard" => "vmlinux",
            _ => "vmlinux-cpl3",
        }
    }

    /// As [`microvm`].
    pub(crate) fn microvm(self) -> [&'static str; 4] {
        microvm(self.accel == "kvm", self.kernel == "cpl3")
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vmm, self.accel)
    }
}

/// What `a3s-box info` says.
pub(crate) struct Host {
    info: Value,
}

impl Host {
    /// Asks the programs in the folder `programs`.
    pub(crate) fn ask(programs: &Path) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut info = Command::new(programs.join("a3s-box"));
        info.args(["info", "--format", "json"]).env("A3S_HOME", home.path());
        let json = quietly(&mut info)?;
        Ok(Self { info: serde_json::from_str(&json).context("a3s-box info printed no JSON")? })
    }

    /// Whether KVM interprets the guest's ring 0, so that guests need the kernel that runs in ring 3.
    pub(crate) fn interprets_ring_0(&self) -> bool {
        self.info["kvm"]["ring3"].is_string()
    }

    /// What boxes run on here, the fastest first.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let kvm = match (self.interprets_ring_0(), &self.info["kvm"]) {
            (true, _) => Some("cpl3"),
            (false, Value::String(verdict)) if verdict == "full" => Some("standard"),
            _ => None,
        };
        let on_kvm = |vmm| kvm.map(|kernel| Pair { vmm, accel: "kvm", kernel });
        let emulated = Pair { vmm: "qemu", accel: "tcg", kernel: "standard" };
        let pairs = [on_kvm("krun"), on_kvm("qemu"), Some(emulated)];
        pairs.into_iter().flatten().filter(|pair| self.info[pair.vmm].is_string()).collect()
    }
}

/// The machine and the processor that boxes have on QEMU (`src/shim/src/vmm/qemu/command_line.rs`), for what boots a kernel
/// without the shim.
pub(crate) fn microvm(kvm: bool, cpl3: bool) -> [&'static str; 4] {
    let machine = match kvm {
        true => "microvm,acpi=off,pit=off,pic=off,rtc=on,isa-serial=on,x-option-roms=off",
        false => "microvm,acpi=off,rtc=on,isa-serial=on,x-option-roms=off",
    };
    let cpu = match (kvm, cpl3) {
        (true, true) => "host,arch-capabilities=off",
        (true, false) => "host",
        (false, _) => "max,-smap",
    };
    ["-machine", machine, "-cpu", cpu]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pairs(info: Value) -> String {
        let pairs: Vec<String> = Host { info }.pairs().iter().map(Pair::to_string).collect();
        pairs.join(" ")
    }

    #[test]
    fn a_host_runs_what_it_has() {
        let all = "krun/kvm qemu/kvm qemu/tcg";
        assert_eq!(pairs(json!({"kvm": "full", "krun": "1", "qemu": "7"})), all);
        assert_eq!(pairs(json!({"kvm": {"ring3": "slow"}, "krun": "1", "qemu": "7"})), all);
        assert_eq!(pairs(json!({"kvm": {"unusable": "no /dev/kvm"}, "krun": "1", "qemu": "7"})), "qemu/tcg");
        assert_eq!(pairs(json!({"kvm": "full", "krun": null, "qemu": "7"})), "qemu/kvm qemu/tcg");
    }
}
