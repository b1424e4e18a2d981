//! The guest kernel's command line.

use a3s_box_core::{Accel, Kernel, ShimSpec};

/// What the guest kernel is told, whichever VMM starts it.
pub(super) fn kernel(spec: &ShimSpec) -> String {
    let console = if cfg!(target_arch = "aarch64") { "ttyAMA0" } else { "ttyS0" };
    // An emulated TSC is as good as the host's; watching it costs boot time.
    let clock = if spec.accel == Accel::Tcg { " tsc=reliable no_timer_check" } else { "" };
    // What a kernel and a hypervisor agree on behind the processor's back needs ring 0.
    let flavor = if spec.flavor == Kernel::Cpl3 { " no-kvmapf no-steal-acc" } else { "" };
    // `reboot=t`: not every machine has a keyboard controller to reset through, a triple fault works everywhere.
    format!("console={console} quiet loglevel=4 reboot=t panic=-1 mitigations=off{clock}{flavor}")
}
