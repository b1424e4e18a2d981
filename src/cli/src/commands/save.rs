//! `save`: images as archives.

use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_runtime::Engine;
use clap::Args;
use rustix::termios::isatty;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Save {
    /// File to write; standard output when absent
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Save {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        match self.output {
            Some(path) => engine.save(&self.images, &path)?,
            None if isatty(rustix::stdio::stdout()) => {
                return Err(BoxError::new(ErrorKind::InvalidInput, "an archive is nothing for a terminal")
                    .with_hint("give a file with -o, or redirect the output"));
            }
            None => engine.save_stream(&self.images, std::io::stdout())?,
        }
        Ok(0)
    }
}
