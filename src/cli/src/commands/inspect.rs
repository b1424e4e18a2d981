//! `inspect`: everything known about boxes.

use crate::stream;
use a3s_box_core::{BoxError, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Inspect {
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let views = self.boxes.iter().map(|name| engine.inspect(name)).collect::<Result<Vec<_>>>()?;
        let json =
            serde_json::to_string_pretty(&views).map_err(|e| BoxError::io("cannot print", e.into()))?;
        stream::line(&json)?;
        Ok(0)
    }
}
