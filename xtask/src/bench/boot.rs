//! The boot: `a3s-box run` against the same QEMU, kernel and flags with an init that reports and powers off.

use super::{median, ratio, report};
use crate::step::{quietly, step};
use crate::{build, guest, images};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) fn run(rounds: usize) -> Result<()> {
    let programs = build::run_all()?;
    let image = images::busybox()?;
    let home = tempfile::tempdir()?;
    let a3s = |args: &[&str]| {
        let mut command = Command::new(programs.join("a3s-box"));
        command
            .args(args)
            .env("A3S_HOME", home.path())
            .env("A3S_BOX_ACCEL", "tcg")
            .env("A3S_BOX_VMM", "qemu");
        command
    };
    quietly(a3s(&["load", "--tag", "busybox", "--input"]).arg(&image))?;
    let floor = Floor::prepare(home.path(), &a3s)?;

    let templates = home.path().join("templates");
    let mut bare = Vec::new();
    let (mut whole, mut first, mut cold, mut execs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    step(&format!("{rounds} rounds"), || {
        for round in 0..=rounds {
            fs::remove_dir_all(&templates)?;
            let took = [
                timed(&mut a3s(&["run", "--rm", "busybox", "true"]))?.1,
                timed(&mut floor.command())?.1,
                timed(&mut a3s(&["run", "--rm", "busybox", "true"]))?.1,
                timed(&mut a3s(&["run", "--rm", "busybox", "echo", "first"]))?.0.context("no output")?,
            ];
            // The first round warms caches and does not count.
            if round > 0 {
                cold.push(took[0]);
                bare.push(took[1]);
                whole.push(took[2]);
                first.push(took[3]);
            }
        }
        quietly(&mut a3s(&["run", "-d", "--name", "b", "busybox", "sleep", "100000"]))?;
        for _ in 0..rounds {
            execs.push(timed(&mut a3s(&["exec", "b", "true"]))?.1);
        }
        quietly(&mut a3s(&["rm", "-f", "b"])).map(drop)
    })?;

    let (bare, whole, first) = (median(&bare), median(&whole), median(&first));
    let (cold, execs) = (median(&cold), median(&execs));
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
    let body = format!(
        "Medians of {rounds}. The floor is the same QEMU, kernel and flags with an init that says a word and \
         resets. A box goes on from a template that the first box of its shape leaves behind, once for each boot of the \
         host.\n\n\
         | what | median | against the floor | at most |\n|---|---|---|---|\n\
         | floor: exec of QEMU to its exit | {} | 1 | |\n\
         | `run --rm busybox true`: exec to exit | {} | {:.2} | 1.25 |\n\
         | `run --rm busybox echo`: exec to the first byte of output | {} | {:.2} | 1.15 |\n\
         | `run --rm busybox true` without a template, leaving one: exec to exit | {} | {:.2} | |\n\
         | `exec BOX true`: exec to exit | {} | | 60 ms |\n",
        ms(bare),
        ms(whole),
        ratio(whole, bare),
        ms(first),
        ratio(first, bare),
        ms(cold),
        ratio(cold, bare),
        ms(execs),
    );
    report::write("Boot, QEMU with software emulation", "cargo xtask bench boot", &body)
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

/// The bare VM.
struct Floor {
    arguments: Vec<String>,
}

impl Floor {
    /// Learns QEMU's arguments from a box that runs, and puts the floor's init in place of ours.
    fn prepare(dir: &Path, a3s: &dyn Fn(&[&str]) -> Command) -> Result<Self> {
        quietly(&mut a3s(&["run", "-d", "--name", "floor", "busybox", "sleep", "100000"]))?;
        let views: serde_json::Value = serde_json::from_str(&quietly(&mut a3s(&["inspect", "floor"]))?)?;
        let pid = views[0]["run"]["vmm"]["pid"].as_i64().context("the box has no VMM")?;
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        quietly(&mut a3s(&["rm", "-f", "floor"]))?;

        let initramfs = guest::pack("floor-init")?;
        // The box is gone, and its disk with it; the floor gets one that is as empty.
        let disk = fs::read_dir(dir.join("disks"))?.next().context("no disk")??.path();
        let arguments = line.trim_end_matches('\0').split('\0').skip(1);
        let alone = arguments.filter(|argument| !matches!(*argument, "-incoming" | "defer"));
        Ok(Self { arguments: alone.map(|argument| adapt(argument, &initramfs, &disk)).collect() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(&self.arguments);
        command
    }
}

/// QEMU's argument with what only a shim can give it taken out.
fn adapt(argument: &str, initramfs: &Path, disk: &Path) -> String {
    if argument.ends_with(".cpio") {
        return initramfs.display().to_string();
    }
    if let (true, Some((id, _))) = (argument.starts_with("socket,"), argument.split_once(",fd=")) {
        return id.replace("socket,", "null,");
    }
    if argument.starts_with("stream,id=network,") {
        return "hubport,id=network,hubid=0".to_owned();
    }
    match argument.split_once(",file=") {
        Some((drive, file)) if file.ends_with("upper.ext4") => {
            format!("{drive},snapshot=on,file={}", disk.display())
        }
        _ => argument.to_owned(),
    }
}
