//! `prune`: removes the boxes that do not run.

use crate::{console, stream};
use a3s_box_core::{BoxError, Bytes, ErrorKind, Result};
use a3s_box_runtime::{BoxFilter, Engine};
use clap::Args;
use std::io::BufRead;

#[derive(Args)]
pub(crate) struct Prune {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove only some: until=TIME (created before a date, or so long ago), label=KEY[=VALUE] or label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<BoxFilter>,
}

impl Prune {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        if !self.force && !confirmed()? {
            return Ok(1);
        }
        let pruned = engine.prune(&self.filter)?;
        for id in &pruned.removed {
            stream::line(id.as_str())?;
        }
        stream::line(&format!("Total reclaimed space: {}", Bytes(pruned.freed)))?;
        Ok(0)
    }
}

fn confirmed() -> Result<bool> {
    if !console::stdin_is_terminal() {
        return Err(BoxError::new(ErrorKind::InvalidInput, "this removes all boxes that do not run")
            .with_hint("say --force where nobody can be asked"));
    }
    eprint!("This removes all boxes that do not run. Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| BoxError::io("cannot read the answer", e))?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
