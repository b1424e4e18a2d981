//! Which VMM, accelerator and kernel a box gets on this host.
//!
//! What the host has is found out by trying ([`Facts`]); which of it a box gets follows from that and from what
//! the user asks for, and from nothing else ([`choose`]). A `/dev/kvm` that exists is not a KVM that works.

mod checks;
mod facts;
mod ladder;
mod probe;
mod qemu;
pub(crate) mod tee;

pub(crate) use checks::all as checks;
pub use checks::{Check, Health};
pub(crate) use facts::Facts;
pub(crate) use ladder::{Rung, choose};
pub(crate) use probe::forget;
pub(crate) use qemu::Qemu;

use a3s_box_core::{Accel, BoxConfig};

/// How long a guest may take until its process runs, where the user does not say.
pub(crate) fn boot_timeout_ms(config: &BoxConfig, accel: Accel) -> u64 {
    let default = match accel {
        // A host may be a virtual machine itself.
        Accel::Kvm | Accel::Hvf => 30,
        // Emulation on a loaded host is ten times slower than on an idle one.
        Accel::Tcg => 90,
    };
    u64::from(config.boot_timeout.unwrap_or(default)) * 1000
}
