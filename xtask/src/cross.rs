//! `cargo clippy` of the host's programs for the kinds of hosts that this one is not: nothing is linked, nothing runs.
//!
//! The C parts of dependencies are not compiled, only Rust is checked: `true` stands in for their compiler, so no cross
//! compiler and no SDK of Apple's is needed.

use crate::step::{cargo, quietly, run, step};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// What there are hosts of: architecture, operating system, target.
const HOSTS: [(&str, &str, &str); 3] = [
    ("x86_64", "linux", "x86_64-unknown-linux-gnu"),
    ("aarch64", "linux", "aarch64-unknown-linux-gnu"),
    ("aarch64", "macos", "aarch64-apple-darwin"),
];
/// What runs there, and what that is made of.
const PACKAGES: [&str; 11] = [
    "a3s-box-agent",
    "a3s-box-cli",
    "a3s-box-core",
    "a3s-box-events",
    "a3s-box-files",
    "a3s-box-image",
    "a3s-box-net",
    "a3s-box-runtime",
    "a3s-box-shim",
    "a3s-box-tar",
    "xtask",
];
/// What of it is Linux's alone.
const LINUX: [&str; 1] = ["a3s-box-fuse"];

/// Checks for every kind of host but this one. A standard library that cannot be had is no failure, but told.
pub(crate) fn run_all() -> Result<()> {
    let others =
        HOSTS.iter().filter(|(arch, os, _)| (*arch, *os) != (std::env::consts::ARCH, std::env::consts::OS));
    for (_, os, target) in others {
        match add(target) {
            Ok(()) => step(&format!("lints for {target}"), || lint(os, target))?,
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().next().unwrap_or_default();
                eprintln!(
                    "==> lints for {target}: not checked here, since there is no standard library for it: {why}"
                );
            }
        }
    }
    Ok(())
}

/// Fetches the standard library for `target`, where it is missing.
fn add(target: &str) -> Result<()> {
    let folder = quietly(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    quietly(Command::new("rustup").args(["target", "add", target])).map(drop)
}

fn lint(os: &str, target: &str) -> Result<()> {
    let mut lints = cargo();
    lints.args(["clippy", "--quiet", "--target", target]);
    let linux = LINUX.iter().filter(|_| os == "linux");
    lints.args(PACKAGES.iter().chain(linux).flat_map(|package| ["-p", package]));
    let underscored = target.replace('-', "_");
    lints.env(format!("CC_{underscored}"), "true").env(format!("AR_{underscored}"), "true");
    run(lints.args(["--", "-D", "warnings"]))
}
