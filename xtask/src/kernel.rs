//! The guest kernel: `vmlinux`, made from Debian's kernel source, our configuration and our patches.
//!
//! A kernel is named by the hash of all that it is made of and lies in the cache under that name, whole or not at
//! all. Builds in one cache take turns. What goes into the configuration, and why, is told in `src/guest/kernel`.

mod compile;
pub(crate) mod conformance;
mod fragment;
mod machine;
mod recipe;
mod source;

use crate::places;
use crate::step::step;
use a3s_box_files::{Lock, sync_dir};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use recipe::Recipe;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a build waits for another to end, which may make the very kernel that is wanted.
const PATIENCE: Duration = Duration::from_secs(45 * 60);
/// What unfinished builds are called.
const UNFINISHED: &str = ".build-";

/// Build the guest kernel, or find the one built before
#[derive(Args)]
pub(crate) struct Kernel {
    /// Which kernel
    #[arg(long, value_enum, default_value_t = Flavor::Standard)]
    flavor: Flavor,
    /// For guests of which architecture
    #[arg(long, value_enum, default_value_t = Arch::HOST)]
    arch: Arch,
}

/// What a kernel is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flavor {
    /// Every machine that runs guest code in hardware or emulates it
    Standard,
    /// Machines whose KVM interprets ring 0: it runs in ring 3
    Cpl3,
}

/// Guest architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// This machine's.
    pub(crate) const HOST: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };
}

impl Kernel {
    pub(crate) fn run(&self) -> Result<()> {
        println!("{}", build(self.flavor, self.arch)?.display());
        Ok(())
    }
}

/// The standard kernel for guests of this machine's architecture.
pub(crate) fn standard() -> Result<PathBuf> {
    build(Flavor::Standard, Arch::HOST)
}

/// Where the kernel is, made if it is not there yet. (On Arm the file is an `Image`, which is what VMMs load there.)
pub(crate) fn build(flavor: Flavor, arch: Arch) -> Result<PathBuf> {
    let cache = places::cache("kernel")?;
    let recipe = Recipe::read(flavor, arch)?;
    // Without the lock: whatever is there is whole, and most calls end here.
    if let Some(source) = source::cached(&cache)? {
        let made = cache.join(recipe.hash(&source.version)).join("vmlinux");
        if made.exists() {
            return Ok(made);
        }
    }
    let lock = take_turns(&cache)?;
    sweep(&cache)?;
    let source = match source::cached(&cache)? {
        Some(source) => source,
        None => step("fetching the kernel's source from Debian", || source::fetch(&cache))?,
    };
    let kernel = cache.join(recipe.hash(&source.version));
    if kernel.join("vmlinux").exists() {
        return Ok(kernel.join("vmlinux"));
    }
    let work = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(&cache)
        .with_context(|| format!("cannot work in {}", cache.display()))?;
    let tree = work.path().join("linux");
    step(&format!("unpacking linux {}", source.version), || source.unpack(&tree))?;
    recipe.apply_patches(&tree)?;
    let built = work.path().join("built");
    let what = format!("compiling the {} kernel for {}", recipe.flavor_name(), recipe.arch_name());
    // The compiler's processes hold the lock too: should we be killed, the next build waits for them to end.
    step(&what, || compile::compile(&recipe, &tree, &built, &lock.into_file()))?;
    publish(&built, &kernel)?;
    Ok(kernel.join("vmlinux"))
}

fn take_turns(cache: &Path) -> Result<Lock> {
    let path = cache.join("lock");
    if let Some(lock) =
        Lock::try_exclusive(&path).with_context(|| format!("cannot lock {}", path.display()))?
    {
        return Ok(lock);
    }
    eprintln!("    another build of a guest kernel is under way: waiting for it to end");
    Lock::exclusive(&path, PATIENCE).with_context(|| {
        format!(
            "{} was held for {} minutes: look with `fuser` for who holds it",
            path.display(),
            PATIENCE.as_secs() / 60
        )
    })
}

/// Removes what killed builds left. Only for the holder of the lock.
fn sweep(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).with_context(|| format!("cannot read {}", cache.display()))? {
        let path = entry?.path();
        let unfinished =
            path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()));
        if unfinished {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Gives the folder `built` its name, in the same file system, once all of it is on the disk.
fn publish(built: &Path, name: &Path) -> Result<()> {
    let published = || -> std::io::Result<()> {
        for entry in fs::read_dir(built)? {
            File::open(entry?.path())?.sync_all()?;
        }
        sync_dir(built)?;
        // A folder without a kernel under that name is nobody's.
        match fs::remove_dir_all(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => fs::rename(built, name)?,
        }
        name.parent().map_or(Ok(()), sync_dir)
    };
    published().with_context(|| format!("cannot put the kernel into {}", name.display()))
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
