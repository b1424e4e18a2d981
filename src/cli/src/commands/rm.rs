//! `rm`: removes boxes.

use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Rm {
    /// End boxes that run
    #[arg(short, long)]
    force: bool,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        super::for_each(&self.boxes, async |name| engine.rm(&name, self.force).await).await
    }
}
