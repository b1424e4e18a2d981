//! What a macOS host runs boxes with, and keeps them in.

use super::{Check, Facts, Health};
use std::path::Path;

/// How to come by QEMU.
pub(super) const GET_QEMU: &str = "`brew install qemu`, or name it in A3S_BOX_QEMU";
/// How to come by mkfs.ext4.
pub(super) const GET_MKFS: &str = "`brew install e2fsprogs`, and put its folder `sbin` into PATH";

/// What executes guests here.
pub(super) fn accelerator(facts: &Facts) -> Check {
    match &facts.hvf {
        Ok(()) => Check::well("hvf", "a probe VM was made"),
        Err(reason) => Check::not(
            "hvf",
            Health::Lacking,
            format!("{reason}; boxes run in software emulation, slower and behind a weaker boundary"),
            "build and sign the shim with `cargo xtask build`, on Apple silicon with macOS 11 or later",
        ),
    }
}

/// What a box is kept behind, beside its VM.
pub(super) fn walls(_: &Facts) -> [Check; 1] {
    // The shim's own profile needs no program; that of an installed VMM is put on by this one.
    let found = Path::new("/usr/bin/sandbox-exec").is_file();
    [if found {
        Check::well("seatbelt", "available")
    } else {
        Check::not(
            "seatbelt",
            Health::Lacking,
            "sandbox-exec is missing, and QEMU is not run without it",
            "use --vmm krun",
        )
    }]
}
