//! `wait`: until boxes have ended.

use crate::stream;
use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Wait {
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Wait {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        for name in &self.boxes {
            let code = engine.wait(name).await?;
            stream::line(&code.to_string())?;
        }
        Ok(0)
    }
}
