//! `cargo xtask test`: everything that CI holds the project to.

use crate::step::{cargo, run, step};
use crate::{build, check, images, packages};
use anyhow::Result;
use clap::Args;

/// Boots that run at once: one a core of the smallest machine.
const AT_ONCE: &str = "--test-threads=2";

/// Checks, then tests, the quickest first.
pub(crate) fn run_all() -> Result<()> {
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
    step("tests without VMs", || {
        run(cargo().args(["test", "--quiet", "--workspace", "--exclude", "a3s-box-tests"]))
    })?;
    E2e { arguments: Vec::new() }.run()
}

/// The tests that boot real VMs.
#[derive(Args)]
pub(crate) struct E2e {
    /// Passed on to the test programs, such as a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl E2e {
    pub(crate) fn run(self) -> Result<()> {
        packages::install(&[packages::RUN, packages::TEST])?;
        let (busybox, scratch, debian) = (images::busybox()?, images::scratch()?, images::debian()?);
        let programs = build::run_all()?;
        step("tests with VMs", || {
            let mut tests = cargo();
            tests.args(["test", "--quiet", "-p", "a3s-box-tests", "--", AT_ONCE]).args(&self.arguments);
            tests.env("A3S_TEST_PROGRAMS", &programs);
            tests.env("A3S_TEST_BUSYBOX", busybox).env("A3S_TEST_SCRATCH", scratch);
            run(tests.env("A3S_TEST_DEBIAN", debian))
        })
    }
}
