//! `history`: how an image was made.

use crate::table::Fit;
use crate::{stream, table};
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_runtime::{Engine, LayerStep};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(crate) struct History {
    /// Do not shorten commands
    #[arg(long)]
    no_trunc: bool,
    /// `json` prints a JSON object a step
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "table"], default_value = "table")]
    format: String,
    /// Image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl History {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let steps = engine.history(&self.image)?;
        if self.format == "json" {
            for LayerStep { step, layer } in steps {
                let (digest, size) = layer.unzip();
                let object = json!({"CreatedAt": step.created, "CreatedBy": step.created_by,
                    "Comment": step.comment, "Digest": digest, "Size": size.unwrap_or_default()});
                stream::line(&object.to_string())?;
            }
            return Ok(0);
        }
        let row = |LayerStep { step, layer }: &LayerStep| {
            let layer_id = layer.map_or_else(|| "<none>".to_owned(), |(digest, _)| digest.short());
            let created = step.created.as_deref().and_then(|c| c.get(..10)).unwrap_or("").to_owned();
            let size = Bytes(layer.map_or(0, |(_, size)| size)).to_string();
            let by = table::shorten(&step.created_by, if self.no_trunc { usize::MAX } else { 45 });
            vec![layer_id, created, by, size, table::shorten(&step.comment, usize::MAX)]
        };
        let rows: Vec<_> = steps.iter().map(row).collect();
        let fit = Fit::unless(self.no_trunc);
        table::print(&["LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows, fit)
            .map_err(|e| BoxError::io("cannot print", e))?;
        Ok(0)
    }
}
