//! Steps: what is being done and how long it took, and commands whose failure is told with their words.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Says what is being done, does it, and says how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {what}");
    let begin = Instant::now();
    let done = work().with_context(|| what.to_owned())?;
    eprintln!("    {what}: done in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(done)
}

/// Runs `command` with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("{} failed: {status}", words(command));
    }
    Ok(())
}

/// Runs `command` with its output kept for the error, should it fail. What it printed on standard output.
pub(crate) fn quietly(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{}", words(command), output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::places::root());
    command
}

fn words(command: &Command) -> String {
    let args = command.get_args().map(|arg| format!(" {}", arg.to_string_lossy()));
    format!("{}{}", command.get_program().to_string_lossy(), args.collect::<String>())
}

/// Copies a file, or a folder with all that is in it, to `to`, which is not there yet. Links become what they lead to.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no parent")?)?;
    quietly(Command::new("cp").args(["--recursive", "--dereference"]).arg(from).arg(to)).map(drop)
}
