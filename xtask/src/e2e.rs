//! `cargo xtask e2e`: the tests that boot real VMs, on what this host runs boxes with.

use crate::host::{Host, Pair};
use crate::step::{cargo, copy_tree, quietly, run, step};
use crate::{build, guest, images, packages};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Boots that run at once: one a core of the smallest machine.
const AT_ONCE: &str = "--test-threads=2";
/// Debian's `nobody`.
const ORDINARY_USER: &str = "65534";

/// Run the tests that boot real VMs
///
/// Software emulation asks nothing of the host: there, the tests of root are run by an ordinary user.
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
    /// All tests, on every VMM and accelerator or on the fastest.
    pub(crate) fn everywhere(all: bool) -> Self {
        Self { all, on: None, arguments: Vec::new() }
    }

    pub(crate) fn run(self) -> Result<()> {
        packages::install(&[packages::RUN, packages::TEST])?;
        let fixtures = Fixtures {
            busybox: images::busybox()?,
            scratch: images::scratch()?,
            debian: images::debian()?,
            programs: build::run_all()?,
            attacker: step("the attacker", || guest::pack("a3s-box-attacker"))?,
            hostile_kernel: step("the hostile kernel", guest::hostile_kernel)?,
        };
        let tests = program()?;
        for pair in self.pairs(&fixtures.programs)? {
            step(&format!("tests with VMs on {pair}"), || self.test(pair, &tests, &fixtures))?;
        }
        Ok(())
    }

    fn test(&self, pair: Pair, tests: &Path, fixtures: &Fixtures) -> Result<()> {
        let lent = tempfile::tempdir()?;
        let mut command;
        if pair.accel == "tcg" && rustix::process::geteuid().is_root() {
            let fixtures = fixtures.lend(lent.path())?;
            let program = lent.path().join("e2e");
            fs::copy(tests, &program)?;
            command = Command::new("setpriv");
            command.args(["--reuid", ORDINARY_USER, "--regid", ORDINARY_USER, "--clear-groups", "--"]);
            command.arg(program).env("HOME", lent.path().join("home")).current_dir(lent.path().join("home"));
            fixtures.tell(&mut command);
        } else {
            command = Command::new(tests);
            fixtures.tell(&mut command);
        }
        pair.ask(&mut command);
        run(command.args(["--quiet", AT_ONCE]).args(&self.arguments))
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

/// The end-to-end tests, built.
pub(crate) fn program() -> Result<PathBuf> {
    tests("a3s-box-tests", "e2e")
}

/// The tests of a package that are called `name`, built.
pub(crate) fn tests(package: &str, name: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["test", "--no-run", "--quiet", "-p", package, "--test", name, "--message-format=json"]);
    let messages = quietly(&mut build)?;
    let program = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let named = message["target"]["name"] == name;
        named.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    program.with_context(|| format!("cargo built no tests {name} of {package}"))
}

/// What the tests run, and run it on.
struct Fixtures {
    programs: PathBuf,
    attacker: PathBuf,
    hostile_kernel: Option<PathBuf>,
    busybox: PathBuf,
    scratch: PathBuf,
    debian: PathBuf,
}

impl Fixtures {
    /// Copies of it all in the folder `to`, for an ordinary user.
    fn lend(&self, to: &Path) -> Result<Self> {
        let lend = |from: &Path, name: &str| -> Result<PathBuf> {
            let copy = to.join(name);
            copy_tree(from, &copy)?;
            Ok(copy)
        };
        fs::create_dir(to.join("programs"))?;
        for program in ["a3s-box", "a3s-box-shim", "kernel"] {
            lend(&self.programs.join(program), &format!("programs/{program}"))?;
        }
        lend(&self.attacker.with_extension(""), "attacker")?;
        // What the Debian image was made of lies beside it.
        lend(&self.debian.with_extension("tar"), "debian.tar")?;
        let home = to.join("home");
        fs::create_dir(&home)?;
        let lent = Self {
            programs: to.join("programs"),
            attacker: lend(&self.attacker, "attacker.cpio")?,
            hostile_kernel: self
                .hostile_kernel
                .as_ref()
                .map(|kernel| lend(kernel, "hostile-kernel"))
                .transpose()?,
            busybox: lend(&self.busybox, "busybox")?,
            scratch: lend(&self.scratch, "scratch")?,
            debian: lend(&self.debian, "debian")?,
        };
        quietly(Command::new("chmod").args(["--recursive", "go+rX"]).arg(to))?;
        quietly(Command::new("chown").arg(ORDINARY_USER).arg(&home))?;
        Ok(lent)
    }

    /// Has the tests that `command` runs use it.
    fn tell(&self, command: &mut Command) {
        command.env("A3S_TEST_PROGRAMS", &self.programs);
        command.env("A3S_TEST_ATTACKER", &self.attacker);
        command.env("A3S_TEST_ATTACKER_PROGRAM", self.attacker.with_extension(""));
        command.envs(self.hostile_kernel.iter().map(|kernel| ("A3S_TEST_HOSTILE_KERNEL", kernel)));
        command.env("A3S_TEST_BUSYBOX", &self.busybox).env("A3S_TEST_SCRATCH", &self.scratch);
        command.env("A3S_TEST_DEBIAN", &self.debian);
    }
}
