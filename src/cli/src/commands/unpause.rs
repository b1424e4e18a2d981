//! `unpause`: lets boxes go on that stand still.

use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Unpause {
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Unpause {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        super::for_each(&self.boxes, async |name| engine.unpause(&name).await).await
    }
}
