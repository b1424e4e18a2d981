//! Whether Apple's Hypervisor framework gives this program a VM: it asks whether the program is signed for it.
#![allow(unsafe_code, reason = "the framework is C's")]

use std::ffi::c_void;

/// hv_error.h: the program is not entitled to it.
const HV_DENIED: u32 = 0xfae9_4007;

#[link(name = "Hypervisor", kind = "framework")]
unsafe extern "C" {
    /// hv_vm.h.
    fn hv_vm_create(config: *mut c_void) -> u32;
    /// hv_vm.h.
    fn hv_vm_destroy() -> u32;
}

/// What keeps this program from making a VM; none where it has just made one.
pub(super) fn trouble() -> Option<String> {
    // SAFETY: no configuration means the usual one, and this process has no other VM.
    match unsafe { hv_vm_create(std::ptr::null_mut()) } {
        0 => {
            // SAFETY: it was made just now, and has no vCPUs.
            unsafe { hv_vm_destroy() };
            None
        }
        HV_DENIED => {
            Some("a3s-box-shim is not signed with the entitlement com.apple.security.hypervisor".to_owned())
        }
        other => Some(format!("no VM can be made on Apple's Hypervisor framework: error {other:#010x}")),
    }
}
