//! `rm`: removes boxes.

use crate::failure;
use a3s_box_core::{ErrorKind, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Rm {
    /// End boxes that run; a box that is not there is told, and no failure
    #[arg(short, long)]
    force: bool,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let mut there = Vec::new();
        for name in &self.boxes {
            match engine.inspect(name) {
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {
                    failure::report(&error);
                }
                _ => there.push(name.clone()),
            }
        }
        let removed = async |name: String| match engine.rm(&name, self.force).await {
            // A box of `--rm` went when it had ended.
            Err(error) if self.force && error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        };
        super::for_each(&there, removed).await
    }
}
