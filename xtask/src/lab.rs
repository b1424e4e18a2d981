//! The KVM lab: a machine that QEMU emulates, AMD's virtualization with it, so that `/dev/kvm` inside is real KVM under
//! an unmodified kernel, on any host.
//!
//! Debian's stock cloud kernel boots into an initramfs that holds all there is: our programs, QEMU, the tests and what
//! they need, taken from this machine with the libraries that they are linked to. It is some twenty times slower than
//! hardware: its times mean nothing, its behaviour does.

mod suite;

use crate::step::{copy_tree, quietly, step};
use crate::{build, e2e, guest, images, packages, places};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The kernel: any release of it will do.
const KERNEL: &str = "linux-image-cloud-amd64";
/// In the order in which they are loaded.
const MODULES: &[&str] = &[
    "virt/lib/irqbypass.ko",
    "arch/x86/kvm/kvm.ko",
    "arch/x86/kvm/kvm-amd.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/net/tun.ko",
    "net/sched/sch_netem.ko",
];
/// What of this machine the tests and the programs run.
const PROGRAMS: &[&str] = &[
    "/bin/dash",
    "/bin/bash",
    "/bin/cp",
    "/bin/grep",
    "/usr/bin/find",
    "/usr/bin/cpio",
    "/usr/bin/fish",
    "/usr/bin/zsh",
    "/usr/bin/qemu-system-x86_64",
    "/sbin/mkfs.ext4",
    "/usr/bin/setsid",
    "/usr/bin/unshare",
    "/usr/bin/nsenter",
    "/usr/bin/tar",
    "/usr/bin/openssl",
    "/usr/bin/skopeo",
    "/usr/bin/umoci",
    "/usr/bin/docker-registry",
    "/usr/bin/ss",
    "/usr/sbin/dnsmasq",
    "/sbin/ip",
    "/sbin/tc",
    "/bin/ping",
    "/usr/bin/env",
    "/usr/bin/timeout",
    "/usr/bin/truncate",
];
/// What those need beside themselves.
const FOLDERS: &[&str] =
    &["/usr/share/qemu", "/usr/share/seabios", "/usr/share/fish", "/usr/lib/x86_64-linux-gnu/zsh"];
/// The most that CMD may take, and the most that the tests may take which are run each time.
const PATIENCE: Duration = Duration::from_secs(3600);
const TESTS_TAKE: Duration = Duration::from_secs(900);
/// The machine tells every two seconds that it lives; one that has been silent for so long hangs.
const SILENCE: Duration = Duration::from_secs(90);
/// QEMU's emulation of SVM may hang, whatever runs in it, so the tests get more than one machine.
const MACHINES: usize = 3;
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
    /// A disk that holds A3S_HOME and outlives the machine, as at a reboot; it is made where it is missing
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// The end-to-end tests on this VMM, in as many machines as it takes; CMD is words of which their names hold one
    #[arg(long, value_name = "VMM", value_parser = ["krun", "qemu"])]
    suite: Option<String>,
    /// The command, for a shell
    #[arg(
        required_unless_present = "suite",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<String>,
}

/// What is tested in the lab each time, on every VMM: a box's life and end, two at once, their output and signals, further
/// commands, terminals, and `kill -9` of each process.
const TESTS: &[&str] = &[
    "lifecycle::a_box_is_created",
    "lifecycle::signals_reach",
    "lifecycle::two_boxes",
    "exec::exit_codes",
    "terminal::a_shell",
    "killed_while_running",
];
/// A box's network on bad lines, which the lab's kernel can make.
const BAD_LINES: &str = "A3S_TEST_NETEM=1 net what_netem_does_is_mended || exit";

/// What a reboot of the host does to boxes: the machine that ran the first of these loses its power with boxes running,
/// and the second runs in a new one with the same disk.
const BEFORE_REBOOT: &str = include_str!("lab-before-reboot.sh");
const AFTER_REBOOT: &str = include_str!("lab-after-reboot.sh");
const DISK_SIZE: u64 = 2 << 30;

/// Runs the tests that are run each time, as an ordinary user.
pub(crate) fn test() -> Result<()> {
    let words = TESTS.iter().map(|&test| test.to_owned()).collect();
    let lab = KvmLab { user: true, disk: None, suite: None, command: words };
    for vmm in ["krun", "qemu"] {
        ensure!(lab.suite(vmm)? == 0, "tests failed in the KVM lab on {vmm}/kvm");
    }
    let work = tempfile::tempdir()?;
    let lab = KvmLab { disk: Some(work.path().join("disk")), command: Vec::new(), ..lab };
    lab.insist(&format!("{BAD_LINES}\n{BEFORE_REBOOT}"))?;
    lab.insist(AFTER_REBOOT)
}

/// How the lab's machine ended.
enum End {
    /// With the exit code of the command.
    Code(u8),
    /// It was silent for too long, or went down by itself.
    Hung,
}

impl KvmLab {
    /// The exit code of the command.
    pub(crate) fn run(self) -> Result<u8> {
        if let Some(vmm) = &self.suite {
            return self.suite(vmm);
        }
        match self.boot(&self.command.join(" "), PATIENCE)?.0 {
            End::Code(code) => Ok(code),
            End::Hung => {
                bail!("the lab's machine itself hangs, not the command: it may go well when run again")
            }
        }
    }

    /// Runs `command` to its success, in another machine where one hangs.
    fn insist(&self, command: &str) -> Result<()> {
        for _ in 0..MACHINES {
            match self.boot(command, TESTS_TAKE)?.0 {
                End::Code(0) => return Ok(()),
                End::Code(code) => bail!("tests failed in the KVM lab, with exit code {code}"),
                End::Hung => println!("    the lab's machine itself hangs: once more in a new one"),
            }
        }
        bail!("the lab's machine hung {MACHINES} times")
    }

    /// Runs `command` in a new machine. How that ended, and what the machine told of it on the way.
    fn boot(&self, command: &str, patience: Duration) -> Result<(End, String)> {
        packages::install(&[packages::RUN, packages::TEST])?;
        let programs = build::run_all()?;
        let kernel = Kernel::find()?;
        let work = tempfile::tempdir()?;
        let initramfs = work.path().join("initramfs.cpio");
        step("the lab's file system", || {
            let tree = Tree { root: work.path().join("tree") };
            tree.fill(&programs, &kernel)?;
            fs::write(tree.root.join("lab/command"), format!("{command}\n"))?;
            fs::write(tree.root.join("lab/user"), if self.user { "lab\n" } else { "root\n" })?;
            fs::write(tree.root.join("lab/patience"), format!("{}\n", patience.as_secs()))?;
            tree.pack(&initramfs)
        })?;
        let disk = self.disk.as_deref();
        if let Some(disk) = disk.filter(|disk| !disk.exists()) {
            fs::File::create(disk)?.set_len(DISK_SIZE)?;
            quietly(Command::new("/sbin/mkfs.ext4").args(["-q", "-E", "root_owner=1000:1000"]).arg(disk))?;
        }
        step("the lab", || {
            run(&kernel.image, &initramfs, disk, &work.path().join("told"), patience + SILENCE)
        })
    }
}

/// Runs the machine to its end. What it tells on its second serial port goes to the file `told`: a dot every now and
/// then, what the command has to tell, and its exit code at the end. After `patience` the machine should have ended the
/// command itself.
fn run(
    kernel: &Path,
    initramfs: &Path,
    disk: Option<&Path>,
    told: &Path,
    patience: Duration,
) -> Result<(End, String)> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-no-user-config"]);
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "6G"]);
    qemu.args(["-display", "none", "-no-reboot", "-serial", "stdio", "-serial"]);
    qemu.arg(format!("file:{}", told.display()));
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    qemu.args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off tsc=reliable"]);
    if let Some(disk) = disk {
        qemu.args(["-device", "virtio-blk-pci,drive=disk", "-drive"]);
        qemu.arg(format!("if=none,id=disk,format=raw,file={}", disk.display()));
    }
    let mut qemu = qemu.stdin(Stdio::null()).spawn().context("cannot run QEMU")?;
    let begin = Instant::now();
    let (mut heard, mut since) = (0, begin);
    let tells = || fs::read_to_string(told).unwrap_or_default();
    loop {
        if let Some(status) = qemu.try_wait()? {
            ensure!(status.success(), "QEMU failed: {status}");
            break;
        }
        let length = fs::metadata(told).map_or(0, |file| file.len());
        if length > heard {
            (heard, since) = (length, Instant::now());
        }
        if since.elapsed() > SILENCE || begin.elapsed() > patience {
            qemu.kill()?;
            qemu.wait()?;
            return Ok((End::Hung, tells()));
        }
        thread::sleep(Duration::from_millis(200));
    }
    let told = tells();
    let code = told.lines().last().and_then(|line| line.parse().ok());
    Ok((code.map_or(End::Hung, End::Code), told))
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
        fs::write(self.root.join("etc/resolv.conf"), "")?;
        fs::write(self.root.join("etc/group"), "root:x:0:\nkvm:x:100:lab\nlab:x:1000:\n")?;
        for (place, module) in MODULES.iter().enumerate() {
            copy(&kernel.modules.join(module), &self.root.join(format!("lab/modules/{place:02}.ko")))?;
        }
        copy(Path::new("/bin/busybox"), &self.root.join("bin/busybox"))?;
        // Debian's shell, which knows no applets.
        copy(Path::new("/bin/dash"), &self.root.join("bin/sh"))?;
        for applet in quietly(Command::new("/bin/busybox").arg("--list"))?.lines() {
            let link = self.root.join("bin").join(applet);
            if !link.exists() {
                symlink("busybox", link)?;
            }
        }
        let ours = ["a3s-box", "a3s-box-shim"].map(|name| programs.join(name));
        let tests =
            [(e2e::program()?, "lab/e2e".into()), (e2e::tests("a3s-box-net", "net")?, "lab/net".into())];
        let copies: Vec<(PathBuf, PathBuf)> = ours
            .iter()
            .map(|file| (file.clone(), Path::new("lab").join(file.file_name().unwrap_or_default())))
            .chain(PROGRAMS.iter().map(|file| (PathBuf::from(file), PathBuf::from(&file[1..]))))
            .chain(tests)
            .collect();
        for (from, to) in &copies {
            copy(from, &self.root.join(to))?;
        }
        for library in libraries(copies.iter().map(|(from, _)| from))? {
            copy(&library, &self.root.join(library.strip_prefix("/")?))?;
        }
        for folder in FOLDERS {
            copy_tree(Path::new(folder), &self.root.join(&folder[1..]))?;
        }
        copy(Path::new("/etc/mke2fs.conf"), &self.root.join("etc/mke2fs.conf"))?;
        for file in ["vmlinux", "initramfs.cpio"] {
            copy(&programs.join("kernel").join(file), &self.root.join("lab/kernel").join(file))?;
        }
        copy_tree(&images::busybox()?, &self.root.join("lab/busybox"))?;
        copy_tree(&images::scratch()?, &self.root.join("lab/scratch"))?;
        let debian = images::debian()?;
        copy_tree(&debian, &self.root.join("lab/debian"))?;
        copy(&debian.with_extension("tar"), &self.root.join("lab/debian.tar"))?;
        let attacker = guest::pack("a3s-box-attacker")?;
        copy(&attacker, &self.root.join("lab/attacker.cpio"))?;
        copy(&attacker.with_extension(""), &self.root.join("lab/attacker"))?;
        guest::hostile_kernel()?.map_or(Ok(()), |kernel| copy(&kernel, &self.root.join("lab/hostile-kernel")))
    }

    fn pack(&self, to: &Path) -> Result<()> {
        let script = "find . -mindepth 1 | cpio --create --format=newc --owner=+0:+0 --quiet > \"$1\"";
        quietly(Command::new("sh").args(["-ec", script, "sh"]).arg(to).current_dir(&self.root)).map(drop)
    }
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
    // One of busybox's names may stand there already, and is not to be written through.
    if to.is_symlink() {
        fs::remove_file(to)?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
