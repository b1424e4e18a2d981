//! The guest kernel's command line.

use a3s_box_core::{Accel, ShimSpec};

/// What the guest kernel is told, whichever VMM starts it.
pub(super) fn kernel(spec: &ShimSpec) -> String {
    let console = if cfg!(target_arch = "aarch64") { "ttyAMA0" } else { "ttyS0" };
    // Emulated code does not speculate. A kernel without a boundary has none to guard, and is built without.
    let unguarded = spec.accel == Accel::Tcg && spec.flavor.guards_itself();
    let mitigations = if unguarded { " mitigations=off" } else { "" };
    // `reboot=t`: not every machine has a keyboard controller to reset through, a triple fault works everywhere.
    let facts = machine_facts(spec.accel);
    format!("console={console} quiet loglevel=4 reboot=t panic=-1{mitigations}{facts}")
}

/// What the kernel would else spend most of its boot on finding out. On Arm a device tree tells it.
fn machine_facts(accel: Accel) -> &'static str {
    match accel {
        _ if cfg!(target_arch = "aarch64") => "",
        // The emulated TSC is as good as the host's. The interrupt controller's timer has no TSC deadline mode, its
        // frequency is QEMU's own; and patching the locks of a guest of one CPU costs more than they do.
        Accel::Tcg => " tsc=reliable no_timer_check lapic_timer_hz=1000000000 noreplace-smp",
        Accel::Kvm | Accel::Hvf => " lapic_timer_hz=1000000000",
    }
}
