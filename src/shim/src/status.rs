//! `status.json`: what the world may know of this run.

use crate::health::Checked;
use a3s_box_core::{
    BootPhase, BootTrace, BoxHealth, HealthCheck, HealthState, HostProcess, RunExit, RunStatus,
};
use a3s_box_files::{Process, Scratch};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// In the box's folder, where the shim works.
const FILE: &str = "./status.json";

/// The status, kept here and written on every change that others act on.
pub(crate) struct StatusFile {
    status: RunStatus,
}

impl StatusFile {
    /// A run that has just begun.
    pub(crate) fn begin() -> io::Result<Self> {
        let myself = process(std::process::id())?;
        let mut trace = BootTrace::default();
        trace.reach(BootPhase::Shim, now());
        let this = Self {
            status: RunStatus {
                boot: a3s_box_files::boot_id().unwrap_or_default(),
                shim: myself,
                vmm: None,
                started_at: None,
                health: None,
                paused: false,
                restarts: 0,
                restart_at: None,
                exit: None,
                trace,
            },
        };
        this.write()?;
        Ok(this)
    }

    /// The run is over, and the next will begin at `at`, in microseconds since the UNIX epoch.
    pub(crate) fn rests(&mut self, exit: RunExit, at: u64) -> io::Result<()> {
        self.reach(BootPhase::Ended);
        self.status.paused = false;
        self.status.exit = Some(exit);
        self.status.restart_at = Some(at);
        self.write()
    }

    /// The next run has just begun. How often that was so now.
    pub(crate) fn again(&mut self) -> io::Result<u32> {
        let mut trace = BootTrace::default();
        trace.reach(BootPhase::Shim, now());
        let RunStatus { boot, shim, restarts, .. } = self.status.clone();
        let restarts = restarts.saturating_add(1);
        self.status = RunStatus {
            boot,
            shim,
            vmm: None,
            started_at: None,
            health: None,
            paused: false,
            restarts,
            restart_at: None,
            exit: None,
            trace,
        };
        self.write().map(|()| restarts)
    }

    /// How often the box was started again.
    pub(crate) fn restarts(&self) -> u32 {
        self.status.restarts
    }

    /// The MicroVM stands still, or goes on.
    pub(crate) fn paused(&mut self, paused: bool) -> io::Result<()> {
        self.status.paused = paused;
        self.write()
    }

    /// Notes a phase as reached now.
    pub(crate) fn reach(&mut self, phase: BootPhase) {
        self.reach_at(phase, now());
    }

    /// Notes a phase as reached at `at`, in microseconds since the UNIX epoch.
    pub(crate) fn reach_at(&mut self, phase: BootPhase, at: u64) {
        self.status.trace.reach(phase, at);
    }

    /// The last phase reached.
    pub(crate) fn stage(&self) -> BootPhase {
        self.status.trace.last().unwrap_or(BootPhase::Shim)
    }

    /// The VMM runs.
    pub(crate) fn vmm(&mut self, pid: u32) -> io::Result<()> {
        self.status.vmm = Some(process(pid)?);
        self.reach(BootPhase::Vmm);
        self.write()
    }

    /// The container process runs; `checked`, where it is looked at from time to time whether it is well.
    pub(crate) fn started(&mut self, checked: bool) -> io::Result<()> {
        self.status.health = checked.then(BoxHealth::begin);
        self.status.started_at = Some(now());
        self.reach(BootPhase::Process);
        self.write()
    }

    /// A health check has ended. How the box is now, where that is news.
    pub(crate) fn checked(
        &mut self,
        checked: Checked,
        check: &HealthCheck,
    ) -> io::Result<Option<HealthState>> {
        let health = self.status.health.get_or_insert_with(BoxHealth::begin);
        let before = health.state;
        health.note(checked.probe, check, checked.starting_up);
        let after = health.state;
        self.write().map(|()| (after != before).then_some(after))
    }

    /// The run is over. This is written so that a power cut cannot take it back.
    pub(crate) fn ended(&mut self, exit: RunExit) -> io::Result<()> {
        self.reach(BootPhase::Ended);
        self.status.paused = false;
        self.status.restart_at = None;
        self.status.exit = Some(exit);
        Scratch::write(Path::new(FILE), &serde_json::to_vec(&self.status)?)
    }

    fn write(&self) -> io::Result<()> {
        Scratch::write_lazily(Path::new(FILE), &serde_json::to_vec(&self.status)?)
    }
}

/// Microseconds since the UNIX epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The identity of a process of ours.
fn process(pid: u32) -> io::Result<HostProcess> {
    let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
    let found = Process::find(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(HostProcess { pid, start_time: found.start_time })
}
