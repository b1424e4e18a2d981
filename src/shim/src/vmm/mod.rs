//! The programs that run MicroVMs, each a child process of the shim.
//!
//! A VMM is known by name in this folder only. It is given a [`ShimSpec`] and gives back a [`Machine`]: the
//! process, what it says, and the [`Link`] to the guest init. What one of them cannot do is told by
//! [`a3s_box_core::Vmm::capabilities`], and the runtime asks that before anything starts.

mod command_line;
pub(crate) mod krun;
mod link;
mod machine;
mod qemu;

pub(crate) use link::Link;
pub(crate) use machine::Machine;

use a3s_box_core::{ShimSpec, Vmm};
use std::os::fd::OwnedFd;

/// Starts the VMM that `spec` names, with its end of the network's stream where the box has a network.
///
/// # Errors
/// What keeps it from being started, ready for a user to read.
pub(crate) async fn launch(spec: &ShimSpec, network: Option<OwnedFd>) -> Result<Machine, String> {
    for (what, file) in
        [("kernel", &spec.kernel), ("initramfs", &spec.initramfs), ("rootfs image", &spec.rootfs)]
    {
        std::fs::File::open(file).map_err(|e| format!("cannot open the {what} {}: {e}", file.display()))?;
    }
    match spec.vmm {
        Vmm::Krun => krun::launch(spec, network),
        Vmm::Qemu => qemu::launch(spec, network).await,
    }
}
