//! What the structure promises, counted: the size of files, and that a verb is found where it is looked for.

use crate::places;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 600;

/// Commands that need nothing of the runtime.
const CLI_ALONE: &[&str] = &["completion", "mod", "version"];
/// What the engine does that is no command of its own, yet.
const ENGINE_ALONE: &[&str] = &["mod", "input", "files"];
/// Commands that are several of the engine's verbs in a row.
const COMPOSED: &[&str] = &["run", "restart", "shell"];

pub(crate) fn run() -> Result<()> {
    let mut long = Vec::new();
    for dir in ["src", "xtask", "tests"] {
        for file in rust_files(&places::root().join(dir))? {
            let generated = file.components().any(|part| part.as_os_str() == "proto");
            let lines = fs::read_to_string(&file)?.lines().count();
            if lines > MAX_LINES && !generated {
                long.push(format!("{} has {lines} lines", file.display()));
            }
        }
    }
    ensure!(
        long.is_empty(),
        "files of more than {MAX_LINES} lines hold more than one idea:\n{}",
        long.join("\n")
    );

    let commands = verbs("src/cli/src/commands", CLI_ALONE)?;
    let engine = verbs("src/runtime/src/engine", ENGINE_ALONE)?;
    let composed: BTreeSet<String> = COMPOSED.iter().map(|v| (*v).to_owned()).collect();
    let commands: BTreeSet<String> = commands.difference(&composed).cloned().collect();
    ensure!(commands == engine, "the commands {commands:?} are not the engine's verbs {engine:?}");
    Ok(())
}

/// The verbs that the files of `dir` are named after.
fn verbs(dir: &str, but: &[&str]) -> Result<BTreeSet<String>> {
    let files = rust_files(&places::root().join(dir))?;
    let names = files.iter().filter_map(|f| f.file_stem()?.to_str().map(str::to_owned));
    Ok(names.filter(|name| !but.contains(&name.as_str()) && !name.ends_with("_tests")).collect())
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|e| e == "rs") {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
