//! `cargo xtask bench …`: figures against a floor or a peer in the same run, medians of alternating rounds,
//! written to `docs/benchmarks.md`.

mod boot;
mod cli;
mod crowd;
mod files;
mod floor;
mod image;
mod memory;
mod net;
mod report;
mod rootfs;
mod work;

use crate::step::quietly;
use crate::{build, images};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// From the exec of `a3s-box run` to a command's first byte and to its exit, against a bare VM
    Boot {
        /// Rounds that count
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// On this VMM and accelerator alone: krun/kvm, qemu/kvm or qemu/tcg
        #[arg(long, value_name = "VMM/ACCEL")]
        on: Option<String>,
    },
    /// Commands that start nothing, with a thousand boxes
    Cli {
        /// Rounds that count
        #[arg(long, default_value_t = 20)]
        rounds: usize,
    },
    /// Files of the host's in a box, against those on its own disk
    Files {
        /// Rounds that count
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// On this VMM and accelerator alone: krun/kvm, qemu/kvm or qemu/tcg
        #[arg(long, value_name = "VMM/ACCEL")]
        on: Option<String>,
    },
    /// Commands for 200 created and 30 running boxes, against one of each
    Crowd {
        /// Rounds that count
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// TCP between a guest and the host, against passt and QEMU's own network
    Net {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Pulling an image until it can run, against skopeo with umoci, and podman
    Image {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Copying a gibibyte into and out of a box, against `cat`; the end of a long log
    Work {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Building a rootfs image, against decompressing its layers
    Rootfs {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::Boot { rounds, on } => boot::run(rounds, on.as_deref()),
            What::Cli { rounds } => cli::run(rounds),
            What::Files { rounds, on } => files::run(rounds, on.as_deref()),
            What::Crowd { rounds } => crowd::run(rounds),
            What::Image { rounds } => image::run(rounds),
            What::Net { rounds } => net::run(rounds),
            What::Work { rounds } => work::run(rounds),
            What::Rootfs { rounds } => rootfs::run(rounds),
        }
    }
}

/// A state directory of its own, and the programs that work on it.
struct Home {
    programs: PathBuf,
    dir: TempDir,
}

impl Home {
    /// One that holds the image `busybox`.
    fn new() -> Result<Self> {
        let home = Self { programs: build::run_all()?, dir: tempfile::tempdir()? };
        quietly(home.a3s(&["load", "--tag", "busybox", "--input"]).arg(images::busybox()?))?;
        Ok(home)
    }

    fn a3s(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("a3s-box"));
        command.args(args).env("A3S_HOME", self.dir.path());
        command
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The middle one of `times`.
fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// `time` as a multiple of `of`.
fn ratio(time: Duration, of: Duration) -> f64 {
    time.as_secs_f64() / of.as_secs_f64()
}
