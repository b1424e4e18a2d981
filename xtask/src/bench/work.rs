//! Copies and logs: `cp` of a gibibyte against `cat` through `exec`, and the end of a log of a gibibyte.

use super::{Home, median, ratio, report};
use crate::step::{quietly, step};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;
/// The share of the speed of `cat` that `cp` has to have, and the milliseconds that the end of a log may take.
const SHARE: f64 = 0.6;
const TAIL: u32 = 20;

pub(super) fn run(rounds: usize) -> Result<()> {
    let home = Home::new()?;
    let a3s = |args: &[&str]| home.a3s(args);
    quietly(&mut a3s(&["run", "-d", "--name", "w", "--memory", "4g", "busybox", "sleep", "100000"]))?;
    quietly(&mut a3s(&["exec", "w", "sh", "-c", "head -c 1073741824 /dev/zero | tr '\\0' x > /f"]))?;
    let file = home.path().join("f");
    let to = file.display().to_string();
    let mut times = [const { Vec::new() }; 4];
    step(&format!("{rounds} rounds"), || {
        for round in 0..=rounds {
            let out = File::create(home.path().join("cat"))?;
            let catted = timed(a3s(&["exec", "w", "cat", "/f"]).stdout(out))?;
            let copied = timed(&mut a3s(&["cp", "w:/f", &to]))?;
            let fed = timed(a3s(&["exec", "-i", "w", "sh", "-c", "cat > /g"]).stdin(File::open(&file)?))?;
            let given = timed(&mut a3s(&["cp", &to, "w:/g"]))?;
            if round > 0 {
                for (times, time) in times.iter_mut().zip([catted, copied, fed, given]) {
                    times.push(time);
                }
            }
        }
        Ok(())
    })?;
    quietly(&mut a3s(&["rm", "-f", "w"]))?;
    let logs = tail(home.path(), rounds, &a3s)?;

    let [catted, copied, fed, given] = times.map(|times| median(&times));
    let row = |what: &str, time: Duration, of: Duration| {
        let speed = 1024.0 / time.as_secs_f64();
        format!("| {what} | {speed:.0} MiB/s | {:.2} | {SHARE} |\n", ratio(of, time))
    };
    let body = format!(
        "1 GiB between a box and a file of the host, which is in its page cache; the figure is a share of the speed of `cat`.\n\n\
         | way | speed | of `cat` | asked for |\n|---|---|---|---|\n{}{}{}{}\n\
         `logs --tail 10` of a log of 1 GiB takes {:.1} ms ({TAIL} ms asked for).\n",
        row("`exec w cat /f`", catted, catted),
        row("`cp w:/f .`", copied, catted),
        row("`exec -i w sh -c 'cat > /g'`", fed, fed),
        row("`cp f w:/g`", given, fed),
        logs.as_secs_f64() * 1000.0,
    );
    report::write("Copies and logs", "cargo xtask bench work", &body)
}

/// How long the end of a long log takes.
fn tail(home: &Path, rounds: usize, a3s: &dyn Fn(&[&str]) -> Command) -> Result<Duration> {
    let created = quietly(&mut a3s(&["create", "--log-opt", "max-size=4g", "--name", "l", "busybox"]))?;
    let mut log = BufWriter::new(File::create(home.join("boxes").join(created.trim()).join("log.jsonl"))?);
    let (line, mut written) = ("x".repeat(100), 0);
    for n in 0u64.. {
        let record = format!("{{\"time\":{n},\"stream\":\"stdout\",\"log\":\"{n} {line}\\n\"}}\n");
        log.write_all(record.as_bytes())?;
        written += record.len() as u64;
        if written >= GIB {
            break;
        }
    }
    log.flush()?;
    let times = (0..=rounds)
        .map(|_| timed(a3s(&["logs", "--tail", "10", "l"]).stdout(Stdio::null())))
        .collect::<Result<Vec<_>>>()?;
    Ok(median(&times[1..]))
}

fn timed(command: &mut Command) -> Result<Duration> {
    let begin = Instant::now();
    let status = command.stderr(Stdio::null()).status().context("cannot run a3s-box")?;
    anyhow::ensure!(status.success(), "{command:?} failed");
    Ok(begin.elapsed())
}
