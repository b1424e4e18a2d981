//! The command line with many boxes in the state directory: what every command costs that starts nothing.

use super::{Home, median, report};
use crate::step::{quietly, step};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BOXES: usize = 1000;

/// Commands, and the milliseconds that each may take.
const COMMANDS: [(&[&str], u32); 6] = [
    (&["--help"], 10),
    (&["ps"], 40),
    (&["ps", "-a"], 40),
    (&["ps", "-a", "--filter", "status=created", "--format", "{{.ID}} {{.Names}}"], 40),
    (&["inspect", "the-box"], 20),
    (&["create", "busybox"], 30),
];

pub(super) fn run(rounds: usize) -> Result<()> {
    let home = Home::new()?;
    let a3s = |args: &[&str]| home.a3s(args);
    step(&format!("{BOXES} boxes"), || {
        quietly(&mut a3s(&["create", "--name", "the-box", "busybox"]))?;
        (1..BOXES).try_for_each(|_| quietly(&mut a3s(&["create", "busybox"])).map(drop))
    })?;
    let mut times = vec![Vec::new(); COMMANDS.len()];
    step(&format!("{rounds} rounds"), || {
        for round in 0..=rounds {
            for ((args, _), times) in COMMANDS.iter().zip(&mut times) {
                let time = timed(&mut a3s(args))?;
                if round > 0 {
                    times.push(time);
                }
            }
        }
        Ok(())
    })?;
    let mut rows = String::new();
    for ((args, most), times) in COMMANDS.iter().zip(&times) {
        let ms = median(times).as_secs_f64() * 1000.0;
        writeln!(rows, "| `{}` | {ms:.1} ms | {most} ms |", args.join(" "))?;
    }
    let body = format!(
        "From the start of `a3s-box` to its end, with {BOXES} boxes in the state directory; one more after each `create`.\n\n\
         | command | took | asked for |\n|---|---|---|\n{rows}"
    );
    report::write("The command line", "cargo xtask bench cli", &body)
}

fn timed(command: &mut Command) -> Result<Duration> {
    let begin = Instant::now();
    let status =
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("cannot run a3s-box")?;
    anyhow::ensure!(status.success(), "{command:?} failed");
    Ok(begin.elapsed())
}
