//! What this host has.

use super::{Qemu, probe};
use crate::Home;
use crate::guest::GuestFiles;
use a3s_box_core::{Bytes, Kernel, KvmVerdict, Result};
use std::fs::File;
use std::io;

/// What runs boxes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The version of libkrun in the shim, where it holds one.
    pub(crate) krun: Option<String>,
    /// QEMU.
    pub(crate) qemu: Option<Qemu>,
    /// What KVM is worth.
    pub(crate) kvm: KvmVerdict,
    /// Whether Apple's Hypervisor framework runs guests, or why it does not.
    pub(crate) hvf: Result<(), String>,
    /// The version of Landlock's interface; 0 where there is none.
    pub(crate) landlock: u32,
    /// Whether libkrun in the shim is the one for SEV-SNP guests.
    pub(crate) sev_snp: bool,
    /// The memory, where the host says how much.
    pub(crate) memory: Option<Bytes>,
    /// The flavours of the guest kernel that are installed.
    pub(crate) kernels: Vec<Kernel>,
}

impl Facts {
    /// Finds it all out. What takes time to find out is remembered until the host boots anew.
    ///
    /// # Errors
    /// `NotFound` for no shim, and those of running it.
    pub(crate) fn gather(home: &Home) -> Result<Self> {
        let openable = File::options().read(true).write(true).open("/dev/kvm");
        let probe = probe::remembered(home, openable.is_ok())?;
        let kvm = match openable {
            Ok(_) => probe.kvm,
            Err(e) => KvmVerdict::Unusable(match e.kind() {
                io::ErrorKind::NotFound => "no /dev/kvm".to_owned(),
                io::ErrorKind::PermissionDenied => "no permission: add yourself to group kvm".to_owned(),
                _ => format!("cannot open /dev/kvm: {e}"),
            }),
        };
        let installed = |flavor: &Kernel| GuestFiles::find(home, *flavor).is_ok();
        Ok(Self {
            krun: probe.krun,
            qemu: Qemu::find(),
            kvm,
            hvf: crate::sys::hvf().and_then(|()| probe.hvf.map_or(Ok(()), Err)),
            landlock: probe.landlock,
            sev_snp: probe.sev_snp,
            memory: crate::sys::memory(),
            kernels: [Kernel::Standard, Kernel::Cpl3].into_iter().filter(installed).collect(),
        })
    }

    /// Whether hardware runs boxes here, by a VMM that is there.
    pub(crate) fn runs_hardware(&self) -> bool {
        let kernel = match self.kvm {
            KvmVerdict::Full => Kernel::Standard,
            KvmVerdict::Ring3(_) => Kernel::Cpl3,
            KvmVerdict::Unusable(_) => return self.hvf.is_ok(),
        };
        (self.krun.is_some() || self.qemu.is_some()) && self.kernels.contains(&kernel)
    }
}
