//! `diff`: what was changed in a box.

use crate::stream;
use a3s_box_core::Result;
use a3s_box_runtime::{Change, Engine};
use clap::Args;

#[derive(Args)]
pub(crate) struct Diff {
    /// Running box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
}

impl Diff {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        for (change, path) in engine.diff(&self.name).await? {
            let letter = match change {
                Change::Added => 'A',
                Change::Changed => 'C',
                Change::Deleted => 'D',
            };
            // What a box calls its files must not steer the user's terminal.
            let path: String = String::from_utf8_lossy(&path)
                .chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect();
            stream::line(&format!("{letter} {path}"))?;
        }
        Ok(0)
    }
}
