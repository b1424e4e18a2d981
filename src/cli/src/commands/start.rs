//! `start`: boots boxes that do not run.

use super::run::{report, stay};
use crate::detach::{self, DetachKeys};
use crate::{boundary, console, stream};
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_runtime::{Engine, RunEvent};
use clap::Args;

#[derive(Args)]
pub(crate) struct Start {
    /// Stay with the box until it ends
    #[arg(short, long)]
    attach: bool,
    /// Keys that leave the box running
    #[arg(long, default_value = detach::DEFAULT, value_name = "KEYS")]
    detach_keys: DetachKeys,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Start {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        if self.attach && self.boxes.len() > 1 {
            return Err(BoxError::new(ErrorKind::InvalidInput, "cannot stay with more than one box")
                .with_hint("start them without --attach"));
        }
        let mut code = 0;
        for name in &self.boxes {
            if self.attach {
                let record = engine.start(name, console::size())?;
                boundary::announce(&record);
                let attachment = engine.attach(record.id.as_str()).await?;
                let end = stay(attachment, &record.config, self.detach_keys).await?;
                return end.map_or(Ok(0), |end| report(&record, &end));
            }
            match start(engine, name).await? {
                0 => stream::line(name)?,
                failure => code = failure,
            }
        }
        Ok(code)
    }
}

/// Starts a box and waits until its process runs; the exit code to end with, after saying why it does not.
pub(super) async fn start(engine: &Engine, name: &str) -> Result<u8> {
    let record = engine.start(name, console::size())?;
    boundary::announce(&record);
    let mut attachment = engine.attach(record.id.as_str()).await?;
    loop {
        match attachment.next().await? {
            RunEvent::Running => return Ok(0),
            RunEvent::Ended(end) => return report(&record, &end),
            RunEvent::Stdout(_) | RunEvent::Stderr(_) | RunEvent::Exited(_) => {}
        }
    }
}
