//! The initramfs: the guest init, alone in an uncompressed archive.

use crate::places;
use crate::step::{cargo, run};
use a3s_box_files::Scratch;
use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The target that the guest init is built for: naming it keeps `+crt-static` from build scripts and macros.
const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// How a kernel is linked: to nothing, and where no machine's memory ends before.
const KERNEL_FLAGS: &str = "-C relocation-model=static -C link-arg=-nostartfiles -C link-arg=-nostdlib \
    -C link-arg=-static -C link-arg=-no-pie -C link-arg=-Wl,--image-base=0x1000000,-e,enter_64,--build-id=none";

/// Builds the guest init and packs it. Where the initramfs is.
pub(crate) fn initramfs() -> Result<PathBuf> {
    pack("a3s-box-guest-init")
}

/// Builds the program of the package `init` statically and packs it as the only file of an initramfs.
pub(crate) fn pack(init: &str) -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--quiet", "--profile", "guest", "-p", init, "--target", TARGET])
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static"))?;
    let built = places::target().join(TARGET).join("guest");
    let path = built.join(format!("{init}.cpio"));
    let staging = tempfile::tempdir()?;
    let program = staging.path().join("init");
    std::fs::copy(built.join(init), &program).with_context(|| format!("cannot copy {init}"))?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--owner=+0:+0", "--reproducible", "--quiet"])
        .current_dir(staging.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cpio")?;
    cpio.stdin.take().context("cpio has no input")?.write_all(b"init\n")?;
    let output = cpio.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "cpio failed: {}", output.status);
    Scratch::write(&path, &output.stdout).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Builds the kernel that is hostile to its machine. Where it is; none for machines that it does not know.
pub(crate) fn hostile_kernel() -> Result<Option<PathBuf>> {
    const PACKAGE: &str = "a3s-box-hostile-kernel";
    if !cfg!(target_arch = "x86_64") {
        eprintln!("    {PACKAGE} knows x86-64 machines alone: the tests with it are left out");
        return Ok(None);
    }
    run(cargo()
        .args(["build", "--quiet", "--profile", "guest", "-p", PACKAGE, "--features", "freestanding"])
        .args(["--target", TARGET])
        .env("RUSTFLAGS", KERNEL_FLAGS))?;
    Ok(Some(places::target().join(TARGET).join("guest").join(PACKAGE)))
}
