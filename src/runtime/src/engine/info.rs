//! `info`: what this host has to run boxes with.

use super::Engine;
use crate::guest::GuestFiles;
use crate::preflight::{self, Facts, Health};
use crate::state::{State, look};
use a3s_box_core::{Accel, BoxConfig, BoxState, Kernel, KvmVerdict, Result, TeeNotSupported, Vmm};
use serde::Serialize;
use std::path::PathBuf;

/// What runs boxes on this host, and what there is of them.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    /// The version of A3S Box.
    pub version: &'static str,
    /// The state directory.
    pub home: PathBuf,
    /// What a box gets that asks for nothing special; none where no box runs.
    pub machine: Option<MachineInfo>,
    /// What KVM is worth here.
    pub kvm: KvmVerdict,
    /// The version of libkrun, where it is part of this build.
    pub krun: Option<String>,
    /// What QEMU says its version is, where it is installed.
    pub qemu: Option<String>,
    /// The version of Landlock's interface; 0 where the host has none.
    pub landlock: u32,
    /// What boxes lack here to be kept from the host; none where nothing.
    pub tee: Option<TeeNotSupported>,
    /// Boxes.
    pub boxes: usize,
    /// Boxes that run.
    pub running: usize,
    /// Images.
    pub images: usize,
    /// What keeps boxes from running here, with the way out.
    pub problems: Vec<String>,
}

/// A VMM, its accelerator, and the kernel that it boots.
#[derive(Debug, Clone, Serialize)]
pub struct MachineInfo {
    /// The VMM.
    pub vmm: Vmm,
    /// What executes the guest.
    pub accel: Accel,
    /// The flavour of the guest kernel.
    pub kernel: Kernel,
    /// The guest kernel's file.
    pub kernel_file: PathBuf,
    /// Why it is no better machine.
    pub stepped_down: Option<String>,
}

impl Engine {
    /// What this host has to run boxes with.
    ///
    /// # Errors
    /// Those of reading the state directory. What is missing for running boxes is told, not an error.
    pub fn info(&self) -> Result<Info> {
        let facts = Facts::gather(&self.home)?;
        let mut problems: Vec<String> = preflight::checks(&self.home, &facts)
            .into_iter()
            .filter(|check| check.health == Health::Broken)
            .map(|check| format!("{}: {} ({})", check.name, check.found, check.remedy.unwrap_or_default()))
            .collect();
        let machine = self.machine(&facts).map_err(|e| problems.push(e.to_string())).ok();
        let state = State::read(&self.home)?;
        let mut running = 0;
        for record in state.records().values() {
            running += usize::from(look(&self.home, record)?.state == BoxState::Running);
        }
        Ok(Info {
            version: env!("CARGO_PKG_VERSION"),
            home: self.home.path().to_owned(),
            machine,
            kvm: facts.kvm,
            krun: facts.krun,
            qemu: facts.qemu.and_then(|qemu| qemu.version()),
            landlock: facts.landlock,
            tee: preflight::tee::report(facts.sev_snp).err(),
            boxes: state.records().len(),
            running,
            images: self.store()?.digests()?.len(),
            problems,
        })
    }

    /// What a box gets that asks for nothing special.
    fn machine(&self, facts: &Facts) -> Result<MachineInfo> {
        let machine = preflight::choose(&BoxConfig::new("any"), facts)?;
        let rung = machine.rung;
        Ok(MachineInfo {
            vmm: rung.vmm,
            accel: rung.accel,
            kernel: rung.kernel,
            kernel_file: GuestFiles::find(&self.home, rung.kernel)?.kernel,
            stepped_down: machine.stepped_down,
        })
    }
}
