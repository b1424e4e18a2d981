//! `attach`: joins a running box's command until its end.

use super::run::{report, stay};
use a3s_box_core::{BoxConfig, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Attach {
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
}

impl Attach {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let record = engine.inspect(&self.name)?.record;
        let attachment = engine.attach(record.id.as_str()).await?;
        let interactive = record.config.interactive && !self.no_stdin;
        let config = BoxConfig { interactive, ..record.config.clone() };
        report(&record, &stay(attachment, &config).await?)
    }
}
