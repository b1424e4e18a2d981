//! `stats`: what a box uses, by its guest's own figures and by what its VMM takes from the host.

use super::{Engine, rpc};
use crate::state::BoxRecord;
use crate::sys;
use a3s_box_agent::proto::agent::StatsRequest;
use a3s_box_agent::proto::shim::NetworkRequest;
use a3s_box_agent::shim_client;
use a3s_box_core::{BoxError, BoxId, BoxName, ErrorKind, NetCounters, Result};
use serde::Serialize;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

/// What a box has used since it began, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoxStats {
    /// The box.
    pub id: BoxId,
    /// Its name.
    pub name: BoxName,
    /// How long the guest has run, in microseconds.
    pub at_us: u64,
    /// Processor time of the box's processes, in microseconds.
    pub cpu_us: u64,
    /// Its vCPUs.
    pub cpus: u32,
    /// Memory in use in the guest, in bytes.
    pub memory: u64,
    /// All memory that the guest has.
    pub memory_limit: u64,
    /// Bytes received from the network.
    pub network_in: u64,
    /// Bytes sent to the network.
    pub network_out: u64,
    /// What its network has done, and refused, in this run; where it has one.
    pub network: Option<NetCounters>,
    /// Bytes read from disks.
    pub disk_read: u64,
    /// Bytes written to disks.
    pub disk_written: u64,
    /// Threads of the box's processes.
    pub pids: u32,
    /// Memory of the host that the VMM occupies, in bytes.
    pub host_memory: u64,
}

impl Engine {
    /// What the live box that `name` means has used so far. All but `network` and the last figure is what its guest says.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, `Timeout` for a silent guest.
    pub async fn stats(&self, name: &str) -> Result<BoxStats> {
        let (_, seen) = self.see(name)?;
        let (record, mut agent) = self.agent(name).await?;
        let what = || format!("cannot ask box {} what it uses", record.name);
        let reply = tokio::time::timeout(PATIENCE, agent.stats(StatsRequest {}))
            .await
            .map_err(|_| BoxError::new(ErrorKind::Timeout, format!("{}: its guest does not answer", what())))?
            .map_err(|status| rpc(what(), &status))?
            .into_inner();
        let vmm = seen.status.and_then(|status| status.vmm);
        Ok(BoxStats {
            id: record.id.clone(),
            name: record.name.clone(),
            at_us: reply.at_us,
            cpu_us: reply.cpu_us,
            cpus: reply.cpus,
            memory: reply.memory,
            memory_limit: reply.memory_limit,
            network_in: reply.network_in,
            network_out: reply.network_out,
            network: self.network_counters(&record).await?,
            disk_read: reply.disk_read,
            disk_written: reply.disk_written,
            pids: reply.pids,
            host_memory: vmm.and_then(|vmm| sys::resident(vmm.pid)).unwrap_or(0),
        })
    }
}

impl Engine {
    /// What the shim of a live box says of its network.
    async fn network_counters(&self, record: &BoxRecord) -> Result<Option<NetCounters>> {
        let what = || format!("cannot ask the shim of box {} about its network", record.name);
        let ask = async {
            let mut shim = shim_client(&self.home.folder(&record.id).shim_socket())
                .await
                .map_err(|e| BoxError::io(what(), e))?;
            shim.network(NetworkRequest {}).await.map_err(|status| rpc(what(), &status))
        };
        let reply = tokio::time::timeout(PATIENCE, ask)
            .await
            .map_err(|_| BoxError::new(ErrorKind::Timeout, format!("{}: it does not answer", what())))??;
        Ok(reply.into_inner().counters.map(Into::into))
    }
}
