//! The KVM lab: a machine that QEMU emulates, AMD's virtualization with it, so that `/dev/kvm` inside is real KVM under
//! an unmodified kernel, on any host.
//!
//! Debian's stock cloud kernel boots into an initramfs that holds all there is: our programs, QEMU, the tests and what
//! they need, taken from this machine with the libraries that they are linked to. It is some twenty times slower than
//! hardware: its times mean nothing, its behaviour does.

use crate::step::{cargo, quietly, step};
use crate::{build, guest, images, packages, places};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The kernel: any release of it will do.
const KERNEL: &str = "linux-image-cloud-amd64";
/// In the order in which they are loaded.
const MODULES: &[&str] = &["virt/lib/irqbypass.ko", "arch/x86/kvm/kvm.ko", "arch/x86/kvm/kvm-amd.ko"];
/// What of this machine the tests and the programs run.
const PROGRAMS: &[&str] =
    &["/usr/bin/qemu-system-x86_64", "/sbin/mkfs.ext4", "/usr/bin/setsid", "/usr/bin/unshare"];
/// The most that CMD may take.
const PATIENCE: &str = "3600";
const INIT: &str = include_str!("lab-init.sh");

/// Run a command in an emulated machine that has KVM
///
/// In it `a3s-box` is in PATH, the tests are `e2e`, and boxes are asked for on libkrun with KVM; A3S_BOX_VMM=qemu changes
/// that. Its output is the command's, and so is the exit code.
#[derive(Args)]
pub(crate) struct KvmLab {
    /// As an ordinary user in the group kvm
    #[arg(long)]
    user: bool,
    /// The command, for a shell
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

/// What is tested in the lab each time: a box's life, its commands, its terminal, the end of its VMM, on libkrun and QEMU.
const TESTS: &str = "e2e --test-threads=1 lifecycle::a_box_is_created kills::the_vmm_is_killed_while_running \
                     exec::exit_codes terminal::a_shell && \
                     A3S_BOX_VMM=qemu e2e --test-threads=1 lifecycle::a_box_is_created exec::exit_codes";

/// Runs the tests that are run each time, as an ordinary user.
pub(crate) fn test() -> Result<()> {
    let code = KvmLab { user: true, command: vec![TESTS.to_owned()] }.run()?;
    ensure!(code == 0, "tests failed in the KVM lab");
    Ok(())
}

impl KvmLab {
    /// The exit code of the command.
    pub(crate) fn run(self) -> Result<u8> {
        packages::install(&[packages::RUN, packages::TEST])?;
        let programs = build::run_all()?;
        let kernel = Kernel::find()?;
        let work = tempfile::tempdir()?;
        let initramfs = work.path().join("initramfs.cpio");
        step("the lab's file system", || {
            let tree = Tree { root: work.path().join("tree") };
            tree.fill(&programs, &kernel)?;
            fs::write(tree.root.join("lab/command"), format!("{}\n", self.command.join(" ")))?;
            fs::write(tree.root.join("lab/user"), if self.user { "lab\n" } else { "root\n" })?;
            tree.pack(&initramfs)
        })?;
        step("the lab", || boot(&kernel.image, &initramfs, &work.path().join("code")))
    }
}

fn boot(kernel: &Path, initramfs: &Path, code: &Path) -> Result<u8> {
    let mut qemu = Command::new("timeout");
    qemu.args(["--foreground", PATIENCE, "qemu-system-x86_64", "-nodefaults", "-no-user-config"]);
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "6G"]);
    qemu.args(["-display", "none", "-no-reboot", "-serial", "stdio", "-serial"]);
    qemu.arg(format!("file:{}", code.display()));
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    qemu.args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off tsc=reliable"]);
    let status = qemu.stdin(Stdio::null()).status().context("cannot run QEMU")?;
    let told = fs::read_to_string(code).unwrap_or_default();
    match told.trim().parse() {
        Ok(code) => Ok(code),
        Err(_) => bail!("the lab ended without the command's exit code: QEMU's was {status}"),
    }
}

/// Debian's kernel, unpacked.
struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The one in the cache, or else a new one from Debian.
    fn find() -> Result<Self> {
        let cache = places::cache("lab")?;
        if let Ok(kernel) = Self::within(&cache.join("kernel")) {
            return Ok(kernel);
        }
        step("fetching Debian's cloud kernel", || {
            packages::update()?;
            let staging = tempfile::tempdir_in(&cache)?;
            let depends = quietly(Command::new("apt-cache").args(["depends", KERNEL]))?;
            let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
            let package = format!("linux-image-{}", package.context("apt knows no cloud kernel")?);
            quietly(Command::new("apt-get").args(["download", &package]).current_dir(staging.path()))?;
            let file = fs::read_dir(staging.path())?.next().context("apt-get downloaded nothing")??.path();
            let tree = staging.path().join("kernel");
            quietly(Command::new("dpkg-deb").arg("-x").arg(file).arg(&tree))?;
            Ok(fs::rename(tree, cache.join("kernel"))?)
        })?;
        Self::within(&cache.join("kernel"))
    }

    fn within(dir: &Path) -> Result<Self> {
        let first = |dir: PathBuf, prefix: &str| -> Result<PathBuf> {
            let entries = fs::read_dir(&dir)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
            let mut found = entries.filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            });
            found.next().with_context(|| format!("no {prefix} in {}", dir.display()))
        };
        let image = first(dir.join("boot"), "vmlinuz-")?;
        Ok(Self { image, modules: first(dir.join("lib/modules"), "")?.join("kernel") })
    }
}

/// The lab's file system in the making.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn fill(&self, programs: &Path, kernel: &Kernel) -> Result<()> {
        for dir in
            ["bin", "sbin", "proc", "sys", "dev", "tmp", "etc", "home/lab", "lab/modules", "lab/kernel"]
        {
            fs::create_dir_all(self.root.join(dir))?;
        }
        fs::write(self.root.join("init"), INIT)?;
        fs::set_permissions(self.root.join("init"), fs::Permissions::from_mode(0o755))?;
        fs::write(
            self.root.join("etc/passwd"),
            "root:x:0:0::/tmp:/bin/sh\nlab:x:1000:1000::/home/lab:/bin/sh\n",
        )?;
        fs::write(self.root.join("etc/group"), "root:x:0:\nkvm:x:100:lab\nlab:x:1000:\n")?;
        for module in MODULES {
            let name = Path::new(module).file_name().context("a module without a name")?;
            copy(&kernel.modules.join(module), &self.root.join("lab/modules").join(name))?;
        }
        copy(Path::new("/bin/busybox"), &self.root.join("bin/busybox"))?;
        for applet in quietly(Command::new("/bin/busybox").arg("--list"))?.lines() {
            let link = self.root.join("bin").join(applet);
            if !link.exists() {
                symlink("busybox", link)?;
            }
        }
        let ours = ["a3s-box", "a3s-box-shim"].map(|name| programs.join(name));
        let e2e = tests()?;
        let copies: Vec<(PathBuf, PathBuf)> = ours
            .iter()
            .chain([&e2e])
            .map(|file| (file.clone(), Path::new("lab").join(file.file_name().unwrap_or_default())))
            .chain(PROGRAMS.iter().map(|file| (PathBuf::from(file), PathBuf::from(&file[1..]))))
            .collect();
        for (from, to) in &copies {
            copy(from, &self.root.join(to))?;
        }
        fs::rename(
            self.root.join("lab").join(e2e.file_name().unwrap_or_default()),
            self.root.join("lab/e2e"),
        )?;
        for library in libraries(copies.iter().map(|(from, _)| from))? {
            copy(&library, &self.root.join(library.strip_prefix("/")?))?;
        }
        self.folder(Path::new("/usr/share/qemu"), "usr/share/qemu")?;
        self.folder(Path::new("/usr/share/seabios"), "usr/share/seabios")?;
        copy(Path::new("/etc/mke2fs.conf"), &self.root.join("etc/mke2fs.conf"))?;
        for file in ["vmlinux", "initramfs.cpio"] {
            copy(&programs.join("kernel").join(file), &self.root.join("lab/kernel").join(file))?;
        }
        self.folder(&images::busybox()?, "lab/busybox")?;
        self.folder(&images::scratch()?, "lab/scratch")?;
        let attacker = guest::pack("a3s-box-attacker")?;
        copy(&attacker, &self.root.join("lab/attacker.cpio"))?;
        copy(&attacker.with_extension(""), &self.root.join("lab/attacker"))
    }

    fn folder(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.root.join(to);
        fs::create_dir_all(to.parent().context("no parent")?)?;
        quietly(Command::new("cp").args(["--recursive", "--dereference"]).arg(from).arg(to)).map(drop)
    }

    fn pack(&self, to: &Path) -> Result<()> {
        let script = "find . -mindepth 1 | cpio --create --format=newc --owner=+0:+0 --quiet > \"$1\"";
        quietly(Command::new("sh").args(["-ec", script, "sh"]).arg(to).current_dir(&self.root)).map(drop)
    }
}

/// The end-to-end tests, built.
fn tests() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["test", "--no-run", "--quiet", "-p", "a3s-box-tests", "--message-format=json"]);
    let messages = quietly(&mut build)?;
    let program = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let named = message["target"]["name"] == "e2e";
        named.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    program.context("cargo built no end-to-end tests")
}

/// What these programs are linked to, the loader too.
fn libraries<'a>(programs: impl Iterator<Item = &'a PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for program in programs {
        for line in quietly(Command::new("ldd").arg(program))?.lines() {
            let path = line.split_ascii_whitespace().find(|word| word.starts_with('/'));
            found.extend(path.map(PathBuf::from));
        }
    }
    ensure!(!found.is_empty(), "no program is linked to any library");
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no parent")?)?;
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
