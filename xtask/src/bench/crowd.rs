//! Many boxes, most of them created and some of them running: what a command costs for each, against what it costs for one
//! box alone.

use super::{Home, median, ratio, report};
use crate::step::{quietly, step};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

const CREATED: usize = 200;
const RUNNING: usize = 30;
/// How often more a command may cost for each of the many.
const MOST: f64 = 2.0;
/// The commands, in the order in which they run.
const COMMANDS: [&str; 6] = ["create", "run -d", "ps -a", "inspect", "stop", "rm"];

pub(super) fn run(rounds: usize) -> Result<()> {
    let home = Home::new()?;
    let a3s = |args: &[&str]| home.a3s(args);
    let (mut alone, mut among) =
        ([const { Vec::new() }; COMMANDS.len()], [const { Vec::new() }; COMMANDS.len()]);
    step(&format!("{rounds} rounds"), || {
        for round in 0..=rounds {
            let one = lives(&a3s, 1, 1)?;
            let many = lives(&a3s, CREATED, RUNNING)?;
            if round > 0 {
                alone.iter_mut().zip(one).for_each(|(times, time)| times.push(time));
                among.iter_mut().zip(many).for_each(|(times, time)| times.push(time));
            }
        }
        Ok(())
    })?;
    let mut rows = String::new();
    for ((command, alone), among) in COMMANDS.iter().zip(&alone).zip(&among) {
        let (alone, among) = (median(alone), median(among));
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let share = ratio(among, alone);
        writeln!(
            rows,
            "| `{command}` | {:.2} ms | {:.2} ms | {share:.2} | {MOST:.2} |",
            ms(alone),
            ms(among)
        )?;
    }
    let body = format!(
        "For each box: with one that is created and one that runs, and with {CREATED} and {RUNNING}. `ps -a`, `inspect`, `stop` and \
         `rm` are one command for all. Medians of {rounds}.\n\n\
         | command | one | many | times | at most |\n|---|---|---|---|---|\n{rows}"
    );
    report::write("Many boxes", "cargo xtask bench crowd", &body)
}

/// The life of so many boxes, from their making to their removal, and the time that each command took for one.
fn lives(
    a3s: &dyn Fn(&[&str]) -> Command,
    created: usize,
    running: usize,
) -> Result<[Duration; COMMANDS.len()]> {
    let create = timed((0..created).map(|_| a3s(&["create", "busybox"])))?;
    let run = timed((0..running).map(|n| {
        let name = format!("r{n}");
        // It has no work, and goes at once when it is asked to.
        let idle = ["--memory", "128m", "--stop-signal", "KILL", "busybox", "sleep", "100000"];
        a3s(&[&["run", "-d", "--name", &name][..], &idle].concat())
    }))?;
    let all = listed(a3s, &[])?;
    ensure!(all.len() == created + running, "{} boxes are listed", all.len());
    let running_ones = listed(a3s, &["--filter", "status=running"])?;
    ensure!(running_ones.len() == running, "{} boxes run", running_ones.len());
    let with = |verb: &[&str], boxes: &[String]| {
        let mut command = a3s(verb);
        command.args(boxes);
        command
    };
    let share = |time: Duration, boxes: &[String]| time / u32::try_from(boxes.len()).unwrap_or(u32::MAX);
    let ps = timed([a3s(&["ps", "-a"])].into_iter())?;
    let inspect = timed([with(&["inspect"], &all)].into_iter())?;
    let stop = timed([with(&["stop"], &running_ones)].into_iter())?;
    let rm = timed([with(&["rm"], &all)].into_iter())?;
    ensure!(listed(a3s, &[])?.is_empty(), "boxes are left");
    Ok([create, run, share(ps, &all), share(inspect, &all), share(stop, &running_ones), share(rm, &all)])
}

fn listed(a3s: &dyn Fn(&[&str]) -> Command, filter: &[&str]) -> Result<Vec<String>> {
    Ok(quietly(a3s(&["ps", "-aq"]).args(filter))?.lines().map(str::to_owned).collect())
}

/// The mean time of these commands.
fn timed(commands: impl ExactSizeIterator<Item = Command>) -> Result<Duration> {
    let count = u32::try_from(commands.len()).context("too many commands")?;
    let begin = Instant::now();
    for mut command in commands {
        quietly(&mut command)?;
    }
    Ok(begin.elapsed() / count)
}
