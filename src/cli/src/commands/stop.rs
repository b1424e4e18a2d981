//! `stop`: asks boxes to end, then ends them.

use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Stop {
    /// Seconds to wait before ending the box by force
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u32,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Stop {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let grace = Duration::from_secs(self.timeout.into());
        super::for_each(&self.boxes, async |name| engine.stop(&name, grace).await).await
    }
}
