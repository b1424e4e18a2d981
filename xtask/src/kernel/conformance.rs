//! `cargo xtask kernel-test`: boots kernels with the conformance program as their first process.

use super::machine::{Kind, Machine};
use super::{Arch, Flavor};
use crate::step::step;
use crate::{guest, packages};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long one round of all cases may take, and the boot before it.
const PATIENCE: Duration = Duration::from_secs(600);
/// Of which so much from one line to the next: a case has a deadline of its own, which is shorter.
const SILENCE: Duration = Duration::from_secs(240);
/// What a kernel says when something is wrong with it.
const ALARMS: &[&str] = &["Kernel panic", "BUG:", "Oops", "WARNING:", "rcu: INFO"];

/// Boot guest kernels and hold them to what programs expect of a kernel
///
/// Without options: every kernel in every kind of machine that it is for and that this host has.
#[derive(Args)]
pub(crate) struct KernelTest {
    /// This kernel only
    #[arg(long, value_enum)]
    flavor: Option<Flavor>,
    /// In this kind of machine only
    #[arg(long, value_enum)]
    machine: Option<Kind>,
    /// How often each case runs: many times for a soak
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Cases with this in their name only
    #[arg(long)]
    only: Option<String>,
}

/// A kernel in a machine.
#[derive(Clone, Copy)]
struct Pair {
    flavor: Flavor,
    machine: Kind,
    cpus: u32,
}

/// What is tried without being asked for. The standard kernel under KVM is not: a host's KVM may interpret it.
const PAIRS: &[Pair] = &[
    Pair { flavor: Flavor::Standard, machine: Kind::Tcg, cpus: 1 },
    Pair { flavor: Flavor::Standard, machine: Kind::Tcg, cpus: 2 },
    Pair { flavor: Flavor::Cpl3, machine: Kind::Tcg, cpus: 1 },
    Pair { flavor: Flavor::Cpl3, machine: Kind::Kvm, cpus: 1 },
    Pair { flavor: Flavor::Cpl3, machine: Kind::Krun, cpus: 1 },
];

impl KernelTest {
    /// Every kernel in every machine, once.
    pub(crate) fn everywhere() -> Self {
        Self { flavor: None, machine: None, rounds: 1, only: None }
    }

    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            Arch::HOST == Arch::X86_64,
            "the kernels of this machine's architecture have no such test yet"
        );
        packages::install(&[packages::RUN])?;
        let chosen = |pair: &&Pair| {
            self.flavor.is_none_or(|f| f == pair.flavor) && self.machine.is_none_or(|m| m == pair.machine)
        };
        let mut pairs: Vec<Pair> = PAIRS.iter().filter(chosen).copied().collect();
        if let (true, Some(flavor), Some(machine)) = (pairs.is_empty(), self.flavor, self.machine) {
            pairs.push(Pair { flavor, machine, cpus: 1 });
        }
        let initramfs = guest::pack("a3s-box-conformance")?;
        let mut failed = Vec::new();
        for pair in pairs {
            let name =
                format!("{:?} kernel, {:?}, {} CPU", pair.flavor, pair.machine, pair.cpus).to_lowercase();
            if pair.machine != Kind::Tcg && self.machine.is_none() && File::open("/dev/kvm").is_err() {
                eprintln!("    {name}: left out, /dev/kvm cannot be opened");
                continue;
            }
            let vmlinux = super::build(pair.flavor, Arch::HOST)?;
            if let Err(why) = step(&name, || self.boot(pair, &vmlinux, &initramfs)) {
                eprintln!("    {why:#}");
                failed.push(name);
            }
        }
        ensure!(failed.is_empty(), "kernels that do not conform: {}", failed.join("; "));
        Ok(())
    }

    fn boot(&self, pair: Pair, vmlinux: &Path, initramfs: &Path) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let only = self.only.as_ref().map_or(String::new(), |part| format!(" conformance.only={part}"));
        let words = format!("conformance.rounds={}{only}", self.rounds);
        let cpl3 = pair.flavor == Flavor::Cpl3;
        let mut machine = Machine::new(pair.machine, cpl3, pair.cpus, scratch.path())?;
        let command = machine.boot(vmlinux, initramfs, &words);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let told = self.listen(&mut child);
        // It ended by itself, or is of no use any more.
        let _ = child.kill();
        child.wait()?;
        told
    }

    /// Reads the console to its end and judges by what it said.
    fn listen(&self, child: &mut Child) -> Result<()> {
        let console = BufReader::new(child.stdout.take().context("the machine has no console")?);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in console.lines().map_while(|line| line.ok()) {
                // Nobody listens once the verdict is there.
                let _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + PATIENCE * self.rounds;
        let (mut wrong, mut last, mut verdict) = (Vec::new(), Vec::new(), None);
        loop {
            let patience = SILENCE.min(deadline.saturating_duration_since(Instant::now()));
            let line = match lines.recv_timeout(patience) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("no word for {} s; the last were:\n{}", patience.as_secs(), last.join("\n"))
                }
            };
            if line.contains(" FAILED")
                || line.contains("panicked at")
                || ALARMS.iter().any(|a| line.contains(a))
            {
                wrong.push(line.clone());
            }
            if let Some(counts) = line.trim_end().strip_prefix("conformance: ") {
                verdict = Some(counts.to_owned());
            }
            last.push(line);
            if last.len() > 12 {
                last.remove(0);
            }
        }
        let Some(counts) = verdict else {
            bail!("the guest ended before it was through; the last lines were:\n{}", last.join("\n"))
        };
        ensure!(wrong.is_empty(), "{counts}:\n{}", wrong.join("\n"));
        ensure!(counts.ends_with(", 0 failed") && !counts.starts_with("0 passed"), "{counts}");
        eprintln!("    {counts}");
        Ok(())
    }
}
