//! `stop`: asks a box to end, and ends it.

use super::{Engine, rpc};
use crate::host;
use crate::state::{State, look};
use a3s_box_agent::proto::shim::StopRequest;
use a3s_box_core::{BoxError, ErrorKind, Result};
use std::time::Duration;

/// What a shim may take beyond the grace period, before it counts as stuck and is killed.
const MARGIN: Duration = Duration::from_secs(20);

impl Engine {
    /// Sends the stop signal to the box that `name` means, waits `grace` for its end, then ends it by force.
    /// A box that does not run is left as it is.
    ///
    /// # Errors
    /// `NotFound` for no such box; `Internal` where even its shim could not be killed.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<()> {
        let (record, seen) = self.see(name)?;
        if !seen.state.is_live() {
            return Ok(());
        }
        let asked = tokio::time::timeout(grace + MARGIN, async {
            let (_, mut shim) = self.shim(record.id.as_str()).await?;
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            shim.stop(StopRequest { grace_ms, host_stops: false })
                .await
                .map_err(|status| rpc(format!("cannot stop box {}", record.name), &status))
        })
        .await;
        if matches!(asked, Ok(Ok(_))) {
            return Ok(());
        }
        // A shim that does not answer is stuck or gone already.
        let status = {
            let _state = State::read(&self.home)?;
            look(&self.home, &record)?.of_this_boot().cloned()
        };
        let gone = status.is_none_or(|status| {
            host::kill(status.shim, MARGIN) && status.vmm.is_none_or(|vmm| host::kill(vmm, MARGIN))
        });
        if gone {
            return Ok(());
        }
        Err(BoxError::new(ErrorKind::Internal, format!("box {} does not end", record.name))
            .with_hint("its shim could not be killed; see shim.log in its folder"))
    }
}
