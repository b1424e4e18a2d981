//! `cargo xtask kernel-test`: boots kernels with the conformance program as their first process.

use super::{Arch, Flavor};
use crate::step::{quietly, step};
use crate::{guest, host, packages};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long one round of all cases may take, and the boot before it.
const PATIENCE: Duration = Duration::from_secs(600);
/// Of which so much from one line to the next: a case has a deadline of its own, which is shorter.
const SILENCE: Duration = Duration::from_secs(240);
const DISK_BYTES: u64 = 256 << 20;
/// What a kernel says when something is wrong with it.
const ALARMS: &[&str] = &["Kernel panic", "BUG:", "Oops", "WARNING:", "rcu: INFO"];

/// Boot guest kernels and hold them to what programs expect of a kernel
///
/// Without options: every kernel under every accelerator that it is for and that this machine has.
#[derive(Args)]
pub(crate) struct KernelTest {
    /// This kernel only
    #[arg(long, value_enum)]
    flavor: Option<Flavor>,
    /// With this accelerator only
    #[arg(long, value_enum)]
    accel: Option<Accel>,
    /// How often each case runs: many times for a soak
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Cases with this in their name only
    #[arg(long)]
    only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Accel {
    Kvm,
    Tcg,
}

/// A kernel in a machine.
#[derive(Clone, Copy)]
struct Pair {
    flavor: Flavor,
    accel: Accel,
    cpus: u32,
}

/// What is tried without being asked for. The standard kernel under KVM is not: a machine's KVM may interpret it.
const PAIRS: &[Pair] = &[
    Pair { flavor: Flavor::Standard, accel: Accel::Tcg, cpus: 1 },
    Pair { flavor: Flavor::Standard, accel: Accel::Tcg, cpus: 2 },
    Pair { flavor: Flavor::Cpl3, accel: Accel::Tcg, cpus: 1 },
    Pair { flavor: Flavor::Cpl3, accel: Accel::Kvm, cpus: 1 },
];

impl KernelTest {
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            Arch::HOST == Arch::X86_64,
            "the kernels of this machine's architecture have no such test yet"
        );
        packages::install(&[packages::RUN])?;
        let chosen = |pair: &&Pair| {
            self.flavor.is_none_or(|f| f == pair.flavor) && self.accel.is_none_or(|a| a == pair.accel)
        };
        let mut pairs: Vec<Pair> = PAIRS.iter().filter(chosen).copied().collect();
        if let (true, Some(flavor), Some(accel)) = (pairs.is_empty(), self.flavor, self.accel) {
            pairs.push(Pair { flavor, accel, cpus: 1 });
        }
        let initramfs = guest::pack("a3s-box-conformance")?;
        let mut failed = Vec::new();
        for pair in pairs {
            let name =
                format!("{:?} kernel, {:?}, {} CPU", pair.flavor, pair.accel, pair.cpus).to_lowercase();
            if pair.accel == Accel::Kvm && self.accel.is_none() && File::open("/dev/kvm").is_err() {
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
        let disk = scratch.path().join("disk");
        File::create(&disk)?.set_len(DISK_BYTES)?;
        quietly(Command::new("/sbin/mkfs.ext4").arg("-q").arg(&disk))?;
        let mut machine = machine(pair);
        machine.arg("-kernel").arg(vmlinux).arg("-initrd").arg(initramfs);
        machine.arg("-drive").arg(format!("if=none,id=disk,format=raw,file={}", disk.display()));
        machine.args(["-append", &self.command_line(pair)]);
        let mut child =
            machine.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run QEMU")?;
        let told = self.listen(&mut child);
        // It ended by itself, or is of no use any more.
        let _ = child.kill();
        child.wait()?;
        told
    }

    fn command_line(&self, pair: Pair) -> String {
        let machine = match pair.accel {
            Accel::Kvm => "lapic_timer_hz=1000000000",
            Accel::Tcg => {
                "mitigations=off tsc=reliable no_timer_check lapic_timer_hz=1000000000 noreplace-smp"
            }
        };
        let only = self.only.as_ref().map_or(String::new(), |part| format!(" conformance.only={part}"));
        format!(
            "console=ttyS0 quiet loglevel=4 reboot=t panic=-1 {machine} conformance.rounds={}{only}",
            self.rounds
        )
    }

    /// Reads the console to its end and judges by what it said.
    fn listen(&self, child: &mut Child) -> Result<()> {
        let console = BufReader::new(child.stdout.take().context("QEMU has no output")?);
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

/// The machine that boxes get, with a disk and a network.
fn machine(pair: Pair) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        "stdio",
        "-m",
        "512M",
    ]);
    command.args(["-smp", &pair.cpus.to_string()]);
    command.args(host::microvm(pair.accel == Accel::Kvm, pair.flavor == Flavor::Cpl3));
    command.args(["-accel", if pair.accel == Accel::Kvm { "kvm" } else { "tcg,thread=multi" }]);
    command.args(["-device", "virtio-serial-device", "-device", "virtio-rng-device"]);
    command.args(["-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"]);
    command.args(["-device", "virtio-blk-device,drive=disk"]);
    command
}
