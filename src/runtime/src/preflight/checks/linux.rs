//! What a Linux host runs boxes with, and keeps them in.

use super::{Check, Facts, Health};
use a3s_box_core::KvmVerdict;

/// How to come by QEMU.
pub(super) const GET_QEMU: &str =
    "on Debian `sudo apt-get install qemu-system-x86`, or name it in A3S_BOX_QEMU";
/// How to come by mkfs.ext4.
pub(super) const GET_MKFS: &str = "on Debian `sudo apt-get install e2fsprogs`";

/// What executes guests here.
pub(super) fn accelerator(facts: &Facts) -> Check {
    let emulation = "boxes run in software emulation, slower and behind a weaker boundary";
    match &facts.kvm {
        KvmVerdict::Full => Check::well("kvm", "a probe VM ran in hardware"),
        KvmVerdict::Ring3(reason) => Check::not(
            "kvm",
            Health::Lacking,
            format!("usable with the cpl3 kernel; {reason}"),
            "nothing on this host; where it is a VM, enable nested virtualization for it",
        ),
        KvmVerdict::Unusable(reason) => {
            let remedy = if reason.starts_with("no permission") {
                "run `sudo usermod -aG kvm $USER`, then log in again"
            } else if reason.starts_with("no /dev/kvm") {
                "enable virtualization in the firmware, or nested virtualization where this is a VM; load kvm_intel or kvm_amd"
            } else {
                "see `dmesg | grep kvm`"
            };
            Check::not("kvm", Health::Lacking, format!("{reason}; {emulation}"), remedy)
        }
    }
}

/// What a box is kept behind, beside its VM.
pub(super) fn walls(facts: &Facts) -> [Check; 2] {
    [namespaces(), landlock(facts)]
}

fn namespaces() -> Check {
    let most = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    match most.trim().parse::<u64>() {
        Ok(1..) => Check::well("user namespaces", "available"),
        _ => Check::not(
            "user namespaces",
            Health::Lacking,
            "not available; no box needs them today",
            "raise the sysctl user.max_user_namespaces",
        ),
    }
}

fn landlock(facts: &Facts) -> Check {
    match facts.landlock {
        0 => Check::not(
            "landlock",
            Health::Lacking,
            "not available; a VMM that was taken over could open its user's files",
            "boot the host with `lsm=landlock,…`, Linux 5.13 or later",
        ),
        version => Check::well("landlock", format!("version {version}")),
    }
}
