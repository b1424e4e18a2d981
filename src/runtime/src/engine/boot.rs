//! `boot`: what boxes are to run when the host has started, and an end for all of them when it goes down.

use super::{Engine, rpc};
use crate::state::{BoxRecord, State, look};
use a3s_box_agent::proto::shim::StopRequest;
use a3s_box_agent::shim_client;
use a3s_box_core::{BoxError, ErrorKind, Result};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// What a shim may take beyond the grace period.
const MARGIN: Duration = Duration::from_secs(20);

impl Engine {
    /// The boxes that do not run and whose restart policies want them to, now that the host has started; the oldest
    /// first. A box that was never started is not one of them.
    ///
    /// # Errors
    /// Those of reading the state directory.
    pub fn wanted_at_boot(&self) -> Result<Vec<BoxRecord>> {
        let state = State::read(&self.home)?;
        let mut wanted = Vec::new();
        for record in state.records().values() {
            let seen = look(&self.home, record)?;
            let was_started = seen.status.is_some() || self.home.folder(&record.id).spec().exists();
            let (exit, restarts) =
                seen.status.as_ref().map_or((None, 0), |status| (status.exit.as_ref(), status.restarts));
            let policy = record.config.policy.restart;
            if was_started && !seen.state.is_live() && policy.wants_at_boot(exit, restarts) {
                wanted.push(record.clone());
            }
        }
        wanted.sort_by_key(|record| record.created_at);
        Ok(wanted)
    }

    /// Stops every box for the host's sake, all at once, each within `grace`: those whose policies want it are among
    /// [`Engine::wanted_at_boot`] afterwards. Each box, and how that went.
    ///
    /// # Errors
    /// Those of reading the state directory.
    pub async fn stop_for_host(&self, grace: Duration) -> Result<Vec<(BoxRecord, Result<()>)>> {
        let mut live = Vec::new();
        {
            let state = State::read(&self.home)?;
            for record in state.records().values() {
                if look(&self.home, record)?.state.is_live() {
                    live.push(record.clone());
                }
            }
        }
        let stops = live.into_iter().map(|record| async move {
            let stopped = self.host_stops(&record, grace).await;
            (record, stopped)
        });
        Ok(join_all(stops).await)
    }

    async fn host_stops(&self, record: &BoxRecord, grace: Duration) -> Result<()> {
        let what = || format!("cannot stop box {}", record.name);
        let stop = async {
            let mut shim = shim_client(&self.home.folder(&record.id).shim_socket())
                .await
                .map_err(|e| BoxError::io(what(), e))?;
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            let request = StopRequest { grace_ms, host_stops: true };
            shim.stop(request).await.map(drop).map_err(|status| rpc(what(), &status))
        };
        timeout(grace + MARGIN, stop)
            .await
            .map_err(|_| BoxError::new(ErrorKind::Timeout, format!("{}: its shim does not answer", what())))?
    }
}
