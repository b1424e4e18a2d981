//! `top`: the processes in a box.

use crate::table;
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Top {
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
}

impl Top {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let rows: Vec<Vec<String>> = engine
            .top(&self.name)
            .await?
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
        table::print(&["PID", "PPID", "UID", "STATE", "TIME", "RSS", "COMMAND"], &rows)
            .map_err(|e| BoxError::io("cannot print", e))?;
        Ok(0)
    }
}
