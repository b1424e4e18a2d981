//! `a3s-box-shim probe`: what this host is worth, found out by trying. The runtime runs it in a process that it
//! can kill, since a KVM that does not work may well not come back.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod guest;
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
mod hvf;
mod kvm;

use crate::{sys, vmm};
use a3s_box_core::HostProbe;
use std::process::ExitCode;

/// The word that makes this program the probe.
pub(crate) const WORD: &str = "probe";

/// Prints a [`HostProbe`] as JSON.
pub(crate) fn report() -> ExitCode {
    let probe = HostProbe {
        krun: vmm::krun::VERSION.map(str::to_owned),
        kvm: kvm::verdict(),
        #[cfg(all(target_os = "macos", target_arch = "aarch64"))]
        hvf: hvf::trouble(),
        #[cfg(not(all(target_os = "macos", target_arch = "aarch64")))]
        hvf: None,
        landlock: sys::landlock_version(),
        sev_snp: vmm::krun::has_sev_snp(),
    };
    match serde_json::to_string(&probe) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
