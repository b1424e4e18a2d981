//! `export`: the root of a box as a tar.

use crate::console;
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_runtime::Engine;
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Export {
    /// File to write to, in place of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Running box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
}

impl Export {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let out: Box<dyn Write + Send> = match &self.output {
            None if console::stdout_is_terminal() => {
                return Err(BoxError::new(ErrorKind::InvalidInput, "an archive is nothing for a terminal")
                    .with_hint("name a file with -o, or send it to another program"));
            }
            None => Box::new(std::io::stdout()),
            Some(path) => Box::new(
                File::create(path)
                    .map_err(|e| BoxError::io(format!("cannot create {}", path.display()), e))?,
            ),
        };
        engine.export(&self.name, out).await?;
        Ok(0)
    }
}
