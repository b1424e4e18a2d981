//! The boot: `a3s-box run` against the same VMM, kernel and flags with an init that says a word and powers off.

use super::floor::Floor;
use super::memory::Memory;
use super::{median, ratio, report};
use crate::host::{Host, Pair};
use crate::step::{quietly, step};
use crate::{build, images};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is asked of a pair.
struct Bounds {
    exit: &'static str,
    first: &'static str,
    exec: &'static str,
}

impl Bounds {
    fn of(pair: Pair) -> Self {
        match pair.accel {
            "tcg" => Self { exit: "1.25", first: "1.15", exec: "60 ms" },
            _ => Self { exit: "1.40, 250 ms", first: "1.20", exec: "12 ms" },
        }
    }
}

/// Measures the pairs of VMM and accelerator that this host runs, or the one called `on`.
pub(super) fn run(rounds: usize, on: Option<&str>) -> Result<()> {
    let programs = build::run_all()?;
    let pairs = Host::ask(&programs)?.pairs();
    let wanted: Vec<Pair> = pairs.into_iter().filter(|p| on.is_none_or(|on| p.to_string() == on)).collect();
    ensure!(!wanted.is_empty(), "this host runs no such boxes: see `a3s-box doctor`");
    for pair in wanted {
        measure(pair, rounds, &programs)?;
    }
    Ok(())
}

/// What was measured, one figure a round.
#[derive(Default)]
struct Figures {
    bare: Vec<Duration>,
    whole: Vec<Duration>,
    first: Vec<Duration>,
    /// Without a template, leaving one.
    cold: Vec<Duration>,
    execs: Vec<Duration>,
}

fn measure(pair: Pair, rounds: usize, programs: &Path) -> Result<()> {
    let home = tempfile::tempdir()?;
    let boxes = Boxes { pair, programs: programs.to_owned(), home: home.path().to_owned() };
    quietly(boxes.a3s(&["load", "--tag", "busybox", "--input"]).arg(images::busybox()?))?;
    let floor = Floor::prepare(&boxes)?;
    let mut figures = Figures::default();
    let memory = step(&format!("{rounds} rounds on {pair}"), || {
        for round in 0..=rounds {
            figures.take(&boxes, &floor)?;
            if round == 0 {
                // It warmed caches and does not count.
                figures = Figures::default();
            }
        }
        quietly(&mut boxes.a3s(&["run", "-d", "--name", "b", "busybox", "sleep", "100000"]))?;
        for _ in 0..rounds {
            figures.execs.push(timed(&mut boxes.a3s(&["exec", "b", "true"]))?.1);
        }
        let memory = Memory::of(&boxes.inspect("b")?);
        quietly(&mut boxes.a3s(&["rm", "-f", "b"]))?;
        memory
    })?;
    let body = format!("{}\n{memory}", figures.table(pair));
    report::write(&format!("Boot, {pair}"), "cargo xtask bench boot", &body)
}

impl Figures {
    /// One round.
    fn take(&mut self, boxes: &Boxes, floor: &Floor) -> Result<()> {
        let run = |command: &[&str]| timed(&mut boxes.a3s(&[&["run", "--rm", "busybox"], command].concat()));
        fs::remove_dir_all(boxes.home.join("templates"))?;
        self.cold.push(run(&["true"])?.1);
        self.bare.push(timed(&mut floor.command())?.1);
        self.whole.push(run(&["true"])?.1);
        self.first.push(run(&["echo", "first"])?.0.context("no output")?);
        Ok(())
    }

    fn table(&self, pair: Pair) -> String {
        let bare = median(&self.bare);
        let bounds = Bounds::of(pair);
        let row = |what: &str, times: &[Duration], most: &str| {
            let time = median(times);
            format!("| {what} | {} | {:.2} | {most} |\n", ms(time), ratio(time, bare))
        };
        let vmm = if pair.vmm == "krun" {
            "libkrun, called by a program that does nothing else, with the same kernel and flags and"
        } else {
            "the same VMM, kernel and flags with"
        };
        let mut table = format!(
            "Medians of {}. The floor is {vmm} an init that says a word and resets.",
            self.bare.len()
        );
        if pair.vmm == "qemu" {
            table += " A box goes on from a template that the first box of its shape leaves behind, once for each boot \
                      of the host.";
        }
        table += "\n\n| what | median | against the floor | at most |\n|---|---|---|---|\n";
        table += &row("floor: exec of the VMM to its exit", &self.bare, "");
        table += &row("`run --rm busybox true`: exec to exit", &self.whole, bounds.exit);
        table += &row("`run --rm busybox echo`: exec to the first byte of output", &self.first, bounds.first);
        if pair.vmm == "qemu" {
            table += &row("`run --rm busybox true` without a template, leaving one", &self.cold, "");
        }
        table
            + &format!(
                "| `exec BOX true`: exec to exit | {} | | {} |\n",
                ms(median(&self.execs)),
                bounds.exec
            )
    }
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

/// Boxes on one pair of VMM and accelerator, in a state directory of their own.
pub(super) struct Boxes {
    pub(super) pair: Pair,
    programs: PathBuf,
    pub(super) home: PathBuf,
}

impl Boxes {
    pub(super) fn a3s(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("a3s-box"));
        command.args(args).env("A3S_HOME", &self.home);
        self.pair.ask(&mut command);
        command
    }

    pub(super) fn inspect(&self, name: &str) -> Result<serde_json::Value> {
        let mut views: serde_json::Value =
            serde_json::from_str(&quietly(&mut self.a3s(&["inspect", name]))?)?;
        Ok(views[0].take())
    }
}

/// Runs `command`: when its first byte of output came, and when it ended.
fn timed(command: &mut Command) -> Result<(Option<Duration>, Duration)> {
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let first = (output.read(&mut [0])? == 1).then(|| begin.elapsed());
    output.read_to_end(&mut Vec::new())?;
    let status = child.wait()?;
    let took = begin.elapsed();
    ensure!(status.success(), "{} failed: {status}", command.get_program().to_string_lossy());
    Ok((first, took))
}
