//! Configuring and compiling the kernel.

use super::fragment;
use super::recipe::Recipe;
use crate::step::quietly;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often progress is told where no terminal shows it moving.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Builds `recipe` from the patched source in `tree` into the new folder `built`: the kernel and its configuration.
/// Whoever compiles inherits `lock`.
pub(super) fn compile(recipe: &Recipe, tree: &Path, built: &Path, lock: &File) -> Result<()> {
    fs::create_dir(built)?;
    configure(recipe, tree)?;
    let (target, product) = recipe.product();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = make(recipe, tree)?;
    make.arg(format!("--jobs={jobs}"))
        .arg(target)
        .stdin(Stdio::from(lock.try_clone()?))
        .stdout(Stdio::piped());
    let mut child = make.spawn().context("cannot run make")?;
    show_progress(BufReader::new(child.stdout.take().context("make has no output")?))?;
    let status = child.wait()?;
    ensure!(status.success(), "make {target} failed: {status}");
    fs::copy(tree.join(".config"), built.join("config"))?;
    let kernel = built.join("vmlinux");
    if target == "vmlinux" {
        let mut strip = Command::new(format!("{}strip", recipe.tool_prefix()));
        quietly(strip.arg("--strip-all").arg("-o").arg(&kernel).arg(tree.join(product)))?;
    } else {
        fs::copy(tree.join(product), &kernel)?;
    }
    Ok(())
}

/// Off is what no fragment names; what they name must come true.
fn configure(recipe: &Recipe, tree: &Path) -> Result<()> {
    let texts: Vec<&str> = recipe.fragments.iter().map(|part| part.text.as_str()).collect();
    let asked = tree.join("asked.config");
    fs::write(&asked, texts.join("\n"))?;
    quietly(make(recipe, tree)?.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &asked))?;
    quietly(make(recipe, tree)?.arg("olddefconfig"))?;
    fragment::check(&texts, &fs::read_to_string(tree.join(".config"))?)
}

/// make in `tree`, so that the same recipe gives the same kernel anywhere.
fn make(recipe: &Recipe, tree: &Path) -> Result<Command> {
    let mut make = Command::new("make");
    make.arg("--directory").arg(tree).arg(format!("ARCH={}", recipe.kbuild_arch()));
    make.arg(format!("CROSS_COMPILE={}", recipe.tool_prefix()));
    let released = fs::metadata(tree.join("Makefile"))?.modified()?.duration_since(std::time::UNIX_EPOCH)?;
    let date = quietly(
        Command::new("date").args(["--utc", "-d", &format!("@{}", released.as_secs())]).env("LC_ALL", "C"),
    )?;
    make.env("KBUILD_BUILD_TIMESTAMP", date.trim())
        .env("KBUILD_BUILD_USER", "a3s-box")
        .env("KBUILD_BUILD_HOST", "a3s-box");
    // What a caller's own make or shell set must not reach ours.
    for name in [
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
        "KCONFIG_CONFIG",
        "KBUILD_OUTPUT",
        "KCFLAGS",
        "CFLAGS",
        "LOCALVERSION",
    ] {
        make.env_remove(name);
    }
    Ok(make)
}

/// Reads what make says, a line for each file that it makes, and tells how many there were.
fn show_progress(output: impl BufRead) -> Result<()> {
    let mut terminal = std::io::stderr();
    let (moving, mut told) = (terminal.is_terminal(), Instant::now());
    let mut files = 0_u32;
    for line in output.lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let (Some(action), Some(file)) = (words.next(), words.next()) else { continue };
        files += 1;
        if moving {
            write!(terminal, "\r\x1b[K    {files} files: {action} {file}")?;
        } else if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            writeln!(terminal, "    {files} files made")?;
        }
    }
    if moving {
        write!(terminal, "\r\x1b[K")?;
    }
    Ok(())
}
