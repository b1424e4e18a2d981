//! Everything that a user runs, built and laid out as an installation: the programs in cargo's release folder,
//! and `kernel/` beside them with what guests boot from on this host. On macOS the programs alone: what guests boot from is
//! built on Linux.

use crate::host::Host;
use crate::kernel::{Arch, Flavor};
use crate::step::{cargo, quietly, run, step};
use crate::{guest, kernel, packages, places};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it all. The folder that holds the programs.
pub(crate) fn run_all() -> Result<PathBuf> {
    if cfg!(target_os = "macos") {
        return for_macos();
    }
    packages::install(&[packages::RUN])?;
    let vmlinux = kernel::standard()?;
    let initramfs = step("guest init", guest::initramfs)?;
    let programs = programs()?;
    let kernel = programs.join("kernel");
    std::fs::create_dir_all(&kernel).with_context(|| format!("cannot create {}", kernel.display()))?;
    link(&vmlinux, &kernel.join("vmlinux"))?;
    link(&initramfs, &kernel.join("initramfs.cpio"))?;
    // It takes minutes to build, and elsewhere nobody has a use for it.
    if Host::ask(&programs)?.interprets_ring_0() {
        link(&kernel::build(Flavor::Cpl3, Arch::HOST)?, &kernel.join("vmlinux-cpl3"))?;
    }
    Ok(programs)
}

/// Builds what a user runs. The folder that holds it.
fn programs() -> Result<PathBuf> {
    step("programs", || {
        run(cargo().args(["build", "--quiet", "--release", "-p", "a3s-box-cli", "-p", "a3s-box-shim"]))
    })?;
    Ok(places::target().join("release"))
}

/// Builds the launcher that is nothing but libkrun. Where it is.
pub(crate) fn bare_krun() -> Result<PathBuf> {
    run(cargo().args(["build", "--quiet", "--release", "-p", "bare-krun"]))?;
    Ok(places::target().join("release/bare-krun"))
}

fn for_macos() -> Result<PathBuf> {
    let programs = programs()?;
    step("signature of the shim", || sign(&programs.join("a3s-box-shim")))?;
    let kernel = programs.join("kernel");
    let missing: Vec<&str> =
        ["vmlinux", "initramfs.cpio"].into_iter().filter(|name| !kernel.join(name).exists()).collect();
    if !missing.is_empty() {
        eprintln!(
            "    build {} on Linux on Arm (`cargo xtask kernel`, `cargo xtask guest`), and put it into {}",
            missing.join(" and "),
            kernel.display()
        );
    }
    Ok(programs)
}

/// Signs `program` for this machine alone, with leave to use Apple's Hypervisor framework.
fn sign(program: &Path) -> Result<()> {
    let entitlements = places::root().join("src/shim/entitlements.plist");
    let mut codesign = Command::new("codesign");
    codesign.args(["--force", "--sign", "-", "--entitlements"]).arg(entitlements).arg(program);
    quietly(&mut codesign).map(drop)
}

/// Makes `link` lead to `file`, in place of whatever it led to.
fn link(file: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|target| target == file) {
        return Ok(());
    }
    let fresh = link.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(file, &fresh)
        .and_then(|()| std::fs::rename(&fresh, link))
        .with_context(|| format!("cannot make {}", link.display()))
}
