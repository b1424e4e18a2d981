//! What keeps a box from its host, in words.

use a3s_box_core::{Accel, AccelChoice, Kernel, KernelChoice};
use a3s_box_runtime::BoxRecord;

/// The boundary that an accelerator and a kernel make.
pub(crate) fn describe(accel: Accel, kernel: Kernel) -> &'static str {
    match accel {
        Accel::Tcg => "software emulation, slow and a weaker boundary than hardware",
        Accel::Kvm | Accel::Hvf if kernel.guards_itself() => "hardware virtualization",
        Accel::Kvm | Accel::Hvf => {
            "hardware virtualization around the guest, no user/kernel boundary inside it"
        }
    }
}

/// One line on what runs a box, and why, where the choice was ours.
pub(crate) fn announce(record: &BoxRecord) {
    let ours = record.config.accel == AccelChoice::Auto
        || (!record.kernel.guards_itself() && record.config.kernel == KernelChoice::Auto);
    if ours {
        let why = record.stepped_down.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let boundary = describe(record.accel, record.kernel);
        eprintln!("note: {}/{}, {} kernel: {boundary}{why}", record.vmm, record.accel, record.kernel);
    }
}
