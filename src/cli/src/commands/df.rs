//! `df`: what takes up the disk.

use crate::table::Fit;
use crate::{stream, table};
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_runtime::{Engine, Usage};
use clap::Args;

#[derive(Args)]
pub(crate) struct Df {
    /// `json` prints a JSON object a kind
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "table"], default_value = "table")]
    format: String,
}

impl Df {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let usages = engine.df()?;
        if self.format == "json" {
            for usage in usages {
                let json =
                    serde_json::to_string(&usage).map_err(|e| BoxError::io("cannot print", e.into()))?;
                stream::line(&json)?;
            }
            return Ok(0);
        }
        let row = |usage: &Usage| {
            let percent = (usage.reclaimable * 100).checked_div(usage.size).unwrap_or_default();
            vec![
                usage.kind.to_owned(),
                usage.total.to_string(),
                usage.active.to_string(),
                Bytes(usage.size).to_string(),
                format!("{} ({percent}%)", Bytes(usage.reclaimable)),
            ]
        };
        let rows: Vec<_> = usages.iter().map(row).collect();
        table::print(&["KIND", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], &rows, Fit::Terminal)
            .map_err(|e| BoxError::io("cannot print", e))?;
        Ok(0)
    }
}
