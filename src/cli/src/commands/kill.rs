//! `kill`: sends a signal to boxes.

use a3s_box_core::{Result, Signal};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Kill {
    /// Signal, by name or number
    #[arg(short, long, default_value = "KILL")]
    signal: Signal,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Kill {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        super::for_each(&self.boxes, async |name| engine.kill(&name, self.signal).await).await
    }
}
