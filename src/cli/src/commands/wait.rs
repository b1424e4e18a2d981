//! `wait`: until boxes or jobs have ended.

use crate::stream;
use a3s_box_core::{JobName, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Wait {
    /// Boxes, by name or id, or jobs (BOX%NUMBER)
    #[arg(required = true, value_name = "BOX|JOB")]
    boxes: Vec<String>,
}

impl Wait {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        for name in &self.boxes {
            let code = match JobName::parse(name)? {
                Some(job) => engine.wait_job(&job).await?,
                None => engine.wait(name).await?,
            };
            stream::line(&code.to_string())?;
        }
        Ok(0)
    }
}
