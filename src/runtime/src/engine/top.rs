//! `top`: the processes in a box.

use super::{Engine, rpc};
use a3s_box_agent::proto::agent::ProcessesRequest;
use a3s_box_core::{BoxError, ErrorKind, Result};
use serde::Serialize;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A process in a box, as the box sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessInfo {
    /// Its id.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Its user.
    pub uid: u32,
    /// The state letter of proc(5).
    pub state: String,
    /// Milliseconds of processor time it has used.
    pub cpu_ms: u64,
    /// Bytes of memory it occupies.
    pub rss: u64,
    /// Its command line.
    pub command: String,
}

impl Engine {
    /// The processes in the live box that `name` means.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, `Timeout` for a silent guest.
    pub async fn top(&self, name: &str) -> Result<Vec<ProcessInfo>> {
        let (record, mut agent) = self.agent(name).await?;
        let what = || format!("cannot list the processes of box {}", record.name);
        let reply = tokio::time::timeout(PATIENCE, agent.processes(ProcessesRequest {}))
            .await
            .map_err(|_| BoxError::new(ErrorKind::Timeout, format!("{}: its guest does not answer", what())))?
            .map_err(|status| rpc(what(), &status))?;
        let processes = reply.into_inner().processes.into_iter().map(|p| ProcessInfo {
            pid: p.pid,
            ppid: p.ppid,
            uid: p.uid,
            state: p.state,
            cpu_ms: p.cpu_ms,
            rss: p.rss,
            command: p.command,
        });
        Ok(processes.collect())
    }
}
