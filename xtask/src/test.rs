//! `cargo xtask test`: everything that CI holds the project to.

use crate::e2e::E2e;
use crate::kernel::conformance::KernelTest;
use crate::step::{cargo, run, step};
use crate::{check, cross, lab, packages};
use anyhow::Result;
use clap::Args;

/// Run every check and every test, those that boot real VMs too
///
/// The tests with VMs run on every VMM and accelerator that this host has, and some of them in the KVM lab; so do those of
/// the guest kernels.
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
        step("the shim with libkrun for SEV-SNP", || {
            let mut lints = cargo();
            lints.args(["clippy", "--quiet", "-p", "a3s-box-shim", "--features", "tee-sev", "--all-targets"]);
            run(lints.args(["--", "-D", "warnings"]))
        })?;
        cross::run_all()?;
        step("tests without VMs", || {
            run(cargo().args(["test", "--quiet", "--workspace", "--exclude", "a3s-box-tests"]))
        })?;
        E2e::everywhere(!self.quick).run()?;
        if self.quick {
            return Ok(());
        }
        KernelTest::everywhere().run()?;
        lab::test()
    }
}
