//! `logs`: what a box has written.

use crate::stream::{self, Target};
use a3s_box_core::{LogStream, Result};
use a3s_box_runtime::Engine;
use clap::Args;
use std::io;

#[derive(Args)]
pub(crate) struct Logs {
    /// Go on until the box ends
    #[arg(short, long)]
    follow: bool,
    /// Show only the last lines: a number, or all
    #[arg(short = 'n', long, default_value = "all", value_name = "N", value_parser = lines)]
    tail: Tail,
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
}

#[derive(Clone, Copy)]
struct Tail(Option<usize>);

fn lines(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        number => {
            number.parse().map(|n| Tail(Some(n))).map_err(|_| "give a number of lines, or all".to_owned())
        }
    }
}

impl Logs {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut reading = true;
        let shown = engine.logs(&self.name, self.tail.0, self.follow, &mut |record| {
            let bytes = record.bytes().unwrap_or_default();
            let target = if record.stream == LogStream::Stdout { Target::Stdout } else { Target::Stderr };
            reading = stream::write(target, &bytes).map_err(io::Error::other)?;
            if reading { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
        // `logs -f | head` ends with head, and that is no failure of ours.
        match shown {
            Err(_) if !reading => Ok(stream::BROKEN_PIPE),
            other => other.map(|()| 0),
        }
    }
}
