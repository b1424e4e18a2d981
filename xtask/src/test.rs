//! `cargo xtask test`: everything that CI holds the project to.

use crate::host::{Host, Pair};
use crate::step::{cargo, run, step};
use crate::{build, check, guest, images, packages};
use anyhow::{Result, ensure};
use clap::Args;
use std::path::Path;

/// Boots that run at once: one a core of the smallest machine.
const AT_ONCE: &str = "--test-threads=2";

/// Run every check and every test, those that boot real VMs too
///
/// The tests with VMs run on every VMM and accelerator that this host has.
#[derive(Args)]
pub(crate) struct Test {
    /// The tests with VMs on the fastest VMM and accelerator alone
    #[arg(long)]
    quick: bool,
}

impl Test {
    /// Checks, then tests, the quickest first.
    pub(crate) fn run(self) -> Result<()> {
        packages::install(&[packages::RUN, packages::TEST])?;
        step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
        step("structure", check::run)?;
        step("lints", || {
            run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        })?;
        step("documentation", || {
            let mut doc = cargo();
            doc.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
            run(doc.env("RUSTDOCFLAGS", "-D warnings"))
        })?;
        step("the shim without libkrun", || {
            let mut lints = cargo();
            lints.args(["clippy", "--quiet", "-p", "a3s-box-shim", "--all-targets", "--", "-D", "warnings"]);
            run(lints.env("A3S_DEPS_STUB", "1"))
        })?;
        step("tests without VMs", || {
            run(cargo().args(["test", "--quiet", "--workspace", "--exclude", "a3s-box-tests"]))
        })?;
        E2e { all: !self.quick, on: None, arguments: Vec::new() }.run()
    }
}

/// Run the tests that boot real VMs
#[derive(Args)]
pub(crate) struct E2e {
    /// On every VMM and accelerator that this host has, not on the fastest alone
    #[arg(long)]
    all: bool,
    /// On this VMM and accelerator: krun/kvm, qemu/kvm or qemu/tcg
    #[arg(long, value_name = "VMM/ACCEL", conflicts_with = "all")]
    on: Option<String>,
    /// Passed on to the test programs, such as a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl E2e {
    pub(crate) fn run(self) -> Result<()> {
        packages::install(&[packages::RUN, packages::TEST])?;
        let (busybox, scratch, debian) = (images::busybox()?, images::scratch()?, images::debian()?);
        let programs = build::run_all()?;
        let attacker = step("the attacker", || guest::pack("a3s-box-attacker"))?;
        for pair in self.pairs(&programs)? {
            step(&format!("tests with VMs on {pair}"), || {
                let mut tests = cargo();
                tests.args(["test", "--quiet", "-p", "a3s-box-tests", "--", AT_ONCE]).args(&self.arguments);
                pair.ask(&mut tests);
                tests.env("A3S_TEST_PROGRAMS", &programs);
                tests.env("A3S_TEST_ATTACKER", &attacker);
                tests.env("A3S_TEST_ATTACKER_PROGRAM", attacker.with_extension(""));
                tests.env("A3S_TEST_BUSYBOX", &busybox).env("A3S_TEST_SCRATCH", &scratch);
                run(tests.env("A3S_TEST_DEBIAN", &debian))
            })?;
        }
        Ok(())
    }

    /// What the tests run on.
    fn pairs(&self, programs: &Path) -> Result<Vec<Pair>> {
        let mut pairs = Host::ask(programs)?.pairs();
        if let Some(on) = &self.on {
            pairs.retain(|pair| pair.to_string() == *on);
            ensure!(!pairs.is_empty(), "this host does not run boxes on {on}: see `a3s-box doctor`");
        }
        ensure!(!pairs.is_empty(), "this host runs no boxes: see `a3s-box doctor`");
        if !self.all {
            pairs.truncate(1);
        }
        Ok(pairs)
    }
}
