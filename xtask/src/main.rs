//! `cargo xtask …`: what the project does to itself.
//!
//! Every command does all of its own set-up and skips what is already done, so that a fresh machine needs a Rust
//! toolchain and nothing else. Nothing here is part of the product.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod check;
mod cross;
mod demo;
mod e2e;
mod guest;
mod host;
mod images;
mod kernel;
mod lab;
mod packages;
mod places;
mod step;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, demo, tests and benchmarks of A3S Box")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a box from an OCI image, doing all set-up that it takes
    Demo,
    Test(test::Test),
    E2e(e2e::E2e),
    /// Measure, and write the figures to docs/benchmarks.md
    Bench(bench::Bench),
    /// Build the programs, the guest kernel and the initramfs, ready to run
    Build,
    /// Build the initramfs with the guest init
    Guest,
    Kernel(kernel::Kernel),
    KernelTest(kernel::conformance::KernelTest),
    KvmLab(lab::KvmLab),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo => demo::run_demo(),
        Command::Test(test) => test.run(),
        Command::E2e(tests) => tests.run(),
        Command::Bench(bench) => bench.run(),
        Command::Build => build::run_all().map(|dir| println!("{}", dir.display())),
        Command::Kernel(kernel) => kernel.run(),
        Command::KernelTest(test) => test.run(),
        Command::KvmLab(lab) => match lab.run() {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
        Command::Guest => guest::initramfs().map(|path| println!("{}", path.display())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
