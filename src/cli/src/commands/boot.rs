//! `boot`: starts the boxes that are to run when the host has started.

use super::start::start;
use crate::{failure, stream};
use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Boot {
    /// Stop all boxes, as a host does that goes down: the next `boot` starts those again that are to run
    #[arg(long)]
    down: bool,
    /// With --down: seconds to wait before ending a box by force
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u32,
}

impl Boot {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        if self.down { self.stop(engine).await } else { boot(engine).await }
    }

    async fn stop(&self, engine: &Engine) -> Result<u8> {
        let mut code = 0;
        for (record, stopped) in engine.stop_for_host(Duration::from_secs(self.timeout.into())).await? {
            match stopped {
                Ok(()) => stream::line(record.name.as_str())?,
                Err(error) => {
                    failure::report(&error);
                    code = failure::OURS;
                }
            }
        }
        Ok(code)
    }
}

/// One that does not come up keeps no other from it.
async fn boot(engine: &Engine) -> Result<u8> {
    let mut code = 0;
    for record in engine.wanted_at_boot()? {
        match start(engine, record.id.as_str()).await {
            Ok(0) => stream::line(record.name.as_str())?,
            Ok(failed) => code = failed,
            Err(error) => {
                failure::report(&error);
                code = failure::OURS;
            }
        }
    }
    Ok(code)
}
