//! `logs`: what a box or a job has written.

use crate::stream::{self, Target};
use crate::time;
use a3s_box_core::{JobName, LogRecord, LogStream, Result, parse_moment};
use a3s_box_runtime::{Engine, LogRange};
use clap::Args;
use std::io;

#[derive(Args)]
pub(crate) struct Logs {
    /// Go on until the end
    #[arg(short, long)]
    follow: bool,
    /// Show only the last lines: a number, or all
    #[arg(short = 'n', long, default_value = "all", value_name = "N", value_parser = lines)]
    tail: Tail,
    /// Show only what was written since: a date (2026-01-02T13:23:37Z), seconds since 1970, or how long ago (10m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Show only what was written until: as --since
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Box, by name or id, or a job (BOX%NUMBER)
    #[arg(value_name = "BOX|JOB")]
    name: String,
}

#[derive(Clone, Copy)]
struct Tail(Option<usize>);

fn moment(text: &str) -> Result<u64> {
    parse_moment(text, time::now())
}

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
        let range = LogRange { tail: self.tail.0, since: self.since, until: self.until, follow: self.follow };
        let mut printer = Printer { timestamps: self.timestamps, open: [false; 2] };
        let mut reading = true;
        let mut sink = |record: &LogRecord| {
            reading = printer.print(record).map_err(io::Error::other)?;
            if reading { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        };
        let shown = match JobName::parse(&self.name)? {
            Some(job) => engine.job_logs(&job, range, &mut sink),
            None => engine.logs(&self.name, range, &mut sink),
        };
        // `logs -f | head` ends with head, and that is no failure of ours.
        match shown {
            Err(_) if !reading => Ok(stream::BROKEN_PIPE),
            other => other.map(|()| 0),
        }
    }
}

/// Prints records, each where it came from.
struct Printer {
    timestamps: bool,
    /// Whether the last line of standard output, and of standard error, goes on.
    open: [bool; 2],
}

impl Printer {
    /// Whether somebody is still reading.
    fn print(&mut self, record: &LogRecord) -> Result<bool> {
        let bytes = record.bytes().unwrap_or_default();
        let (target, open) = match record.stream {
            LogStream::Stdout => (Target::Stdout, &mut self.open[0]),
            LogStream::Stderr => (Target::Stderr, &mut self.open[1]),
        };
        if !self.timestamps {
            return stream::write(target, &bytes);
        }
        let mut text = Vec::with_capacity(bytes.len() + 64);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !*open {
                text.extend_from_slice(time::rfc3339_nanos(record.time).as_bytes());
                text.push(b' ');
            }
            text.extend_from_slice(line);
            *open = !line.ends_with(b"\n");
        }
        stream::write(target, &text)
    }
}
