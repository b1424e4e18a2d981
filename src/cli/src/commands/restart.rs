//! `restart`: stops boxes and starts them again.

use super::start::start;
use crate::stream;
use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Restart {
    /// Seconds to wait before ending the box by force
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u32,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Restart {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let mut code = 0;
        for name in &self.boxes {
            engine.stop(name, Duration::from_secs(self.timeout.into())).await?;
            match start(engine, name).await? {
                0 => stream::line(name)?,
                failure => code = failure,
            }
        }
        Ok(code)
    }
}
