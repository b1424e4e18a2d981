//! `rename`: gives a box another name.

use a3s_box_core::{BoxName, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Rename {
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
    /// What it is to be called
    #[arg(value_name = "NEW_NAME")]
    new: BoxName,
}

impl Rename {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        engine.rename(&self.name, self.new).await.map(|()| 0)
    }
}
