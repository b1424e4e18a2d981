//! `update`: changes what holds for a box.

use super::{Engine, rpc, wrong_state};
use crate::events::event;
use crate::preflight::{Facts, Rung};
use crate::state::{BoxRecord, State, look};
use a3s_box_agent::proto::shim::UpdateRequest;
use a3s_box_agent::shim_client;
use a3s_box_core::{BoxError, Bytes, CpuShare, ErrorKind, EventKind, RestartPolicy, Result};
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);

/// What is to be otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoxUpdate {
    /// The restart policy.
    pub restart: Option<RestartPolicy>,
    /// The seconds that it may run; none for no limit.
    pub timeout: Option<Option<u32>>,
    /// The seconds that it may be idle; none for no limit.
    pub idle_timeout: Option<Option<u32>>,
    /// The guest's memory, of a box that does not run.
    pub memory: Option<Bytes>,
    /// CPUs, of a box that does not run.
    pub cpus: Option<CpuShare>,
}

impl Engine {
    /// Changes the box that `name` means. A policy holds at once, also for a box that runs.
    ///
    /// # Errors
    /// `NotFound` for no such box, `InvalidInput` for what makes no sense, `WrongState` for what cannot be changed
    /// while the box runs, `Unsupported` for what its machine cannot give.
    pub async fn update(&self, name: &str, update: &BoxUpdate) -> Result<()> {
        let facts = Facts::gather(&self.home)?;
        let (record, live) = {
            let mut state = State::write(&self.home)?;
            let mut record = state.find(name)?.clone();
            let seen = look(&self.home, &record)?;
            if seen.state.is_live() && (update.memory.is_some() || update.cpus.is_some()) {
                let hint = "stop it first: memory and CPUs are settled when it starts";
                return Err(wrong_state(&record.name, seen.state, hint));
            }
            let config = &mut record.config;
            let policy = &mut config.policy;
            policy.restart = update.restart.unwrap_or(policy.restart);
            policy.timeout = update.timeout.unwrap_or(policy.timeout);
            policy.idle_timeout = update.idle_timeout.unwrap_or(policy.idle_timeout);
            config.memory = update.memory.unwrap_or(config.memory);
            if let Some(share) = update.cpus {
                config.set_cpus(share);
            }
            config.validate()?;
            let rung = Rung { vmm: record.vmm, accel: record.accel, kernel: record.kernel };
            rung.recheck(&record.config, &facts)?;
            let changed = record.clone();
            state.change(|records| drop(records.insert(changed.id.clone(), changed)))?;
            state.tell(event(&record, EventKind::Updated, &[]));
            (record, seen.state.is_live())
        };
        if live { self.tell_shim(&record).await } else { Ok(()) }
    }

    /// Tells the shim of a live box what its record says now.
    pub(super) async fn tell_shim(&self, record: &BoxRecord) -> Result<()> {
        let policy = record.config.policy;
        let request = UpdateRequest {
            restart: policy.restart.to_string(),
            timeout: policy.timeout.unwrap_or(0),
            idle_timeout: policy.idle_timeout.unwrap_or(0),
            name: record.name.to_string(),
        };
        let what = format!("cannot tell the shim of box {} what was changed", record.name);
        let told = timeout(PATIENCE, async {
            let socket = self.home.folder(&record.id).shim_socket();
            let mut shim = shim_client(&socket).await.map_err(|e| BoxError::io(what.clone(), e))?;
            shim.update(request).await.map(drop).map_err(|status| rpc(what.clone(), &status))
        })
        .await;
        match told {
            Ok(told) => told,
            Err(_) => Err(BoxError::new(ErrorKind::Timeout, what)
                .with_hint("what was changed holds from its next start")),
        }
    }
}
