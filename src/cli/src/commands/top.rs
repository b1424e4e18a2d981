//! `top`: the processes in a box.

use crate::table::Fit;
use crate::{stream, table};
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_runtime::Engine;
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(crate) struct Top {
    /// `json` prints a JSON object a process
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "table"], default_value = "table")]
    format: String,
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
}

impl Top {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let processes = engine.top(&self.name).await?;
        if self.format == "json" {
            processes.iter().try_for_each(|p| stream::line(&json!(p).to_string()))?;
            return Ok(0);
        }
        let rows: Vec<Vec<String>> = processes
            .into_iter()
            .map(|p| {
                // What a guest calls its processes must not steer the user's terminal.
                let command = p.command.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                vec![
                    p.pid.to_string(),
                    p.ppid.to_string(),
                    p.uid.to_string(),
                    p.state,
                    format!("{}.{:02}", p.cpu_ms / 1000, p.cpu_ms % 1000 / 10),
                    Bytes(p.rss).to_string(),
                    command,
                ]
            })
            .collect();
        table::print(&["PID", "PPID", "UID", "STATE", "TIME", "RSS", "COMMAND"], &rows, Fit::Terminal)
            .map_err(|e| BoxError::io("cannot print", e))?;
        Ok(0)
    }
}
