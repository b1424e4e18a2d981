//! `info`: what this host has to run boxes with.

use super::Engine;
use crate::guest::GuestFiles;
use crate::preflight;
use crate::state::{State, look};
use a3s_box_core::{Accel, BoxConfig, BoxState, Result, Vmm};
use serde::Serialize;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What runs boxes on this host, and what there is of them.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    /// The version of A3S Box.
    pub version: &'static str,
    /// The state directory.
    pub home: PathBuf,
    /// What a box gets that asks for nothing special.
    pub vmm: VmmInfo,
    /// The guest kernel.
    pub kernel: Option<PathBuf>,
    /// Boxes.
    pub boxes: usize,
    /// Boxes that run.
    pub running: usize,
    /// Images.
    pub images: usize,
    /// What keeps boxes from running here, with the way out.
    pub problems: Vec<String>,
}

/// A VMM and its accelerator.
#[derive(Debug, Clone, Serialize)]
pub struct VmmInfo {
    /// The program, where it is installed.
    pub program: Option<PathBuf>,
    /// What it says its version is.
    pub version: Option<String>,
    /// Its kind.
    pub kind: Vmm,
    /// What executes the guest.
    pub accel: Accel,
}

impl Engine {
    /// What this host has to run boxes with.
    ///
    /// # Errors
    /// Those of reading the state directory. What is missing for running boxes is told, not an error.
    pub fn info(&self) -> Result<Info> {
        let mut problems = Vec::new();
        let mut note = |error: a3s_box_core::BoxError| {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            problems.push(format!("{error}{hint}"));
        };
        let machine = preflight::choose(&BoxConfig::new("any"));
        let kernel = GuestFiles::find(&self.home).map_err(&mut note).ok().map(|files| files.kernel);
        let program = preflight::find_qemu().map_err(&mut note).ok();
        let (kind, accel) = machine.map_or((Vmm::Qemu, Accel::Tcg), |m| (m.vmm, m.accel));
        let version = program.as_ref().and_then(version_of);
        let state = State::read(&self.home)?;
        let mut running = 0;
        for record in state.records().values() {
            running += usize::from(look(&self.home, record)?.state == BoxState::Running);
        }
        Ok(Info {
            version: env!("CARGO_PKG_VERSION"),
            home: self.home.path().to_owned(),
            vmm: VmmInfo { program, version, kind, accel },
            kernel,
            boxes: state.records().len(),
            running,
            images: self.store()?.digests()?.len(),
            problems,
        })
    }
}

/// The first line of what `program --version` prints.
fn version_of(program: &PathBuf) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
