//! `docs/benchmarks.md`: a section a benchmark, replaced whole by each run.

use crate::places;
use crate::step::quietly;
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

const HEAD: &str = "# Benchmarks\n\nEvery section is written by the command that it names. Figures are medians of rounds in which what is \
                    measured and what it is measured against take turns.\n";

/// Puts `body` under `title` in place of what was there, with the machine and the command named.
pub(super) fn write(title: &str, command: &str, body: &str) -> Result<()> {
    let path = places::root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let head = format!("## {title}\n");
    let mut sections: Vec<String> =
        old.split("\n## ").skip(1).map(|section| format!("## {}", section.trim_end())).collect();
    sections.retain(|section| !section.starts_with(&head));
    sections.push(format!("{head}\n`{command}`, on {}\n\n{}", machine()?, body.trim_end()));
    sections.sort();
    fs::write(&path, format!("{HEAD}\n{}\n", sections.join("\n\n")))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{body}");
    eprintln!("written to {}", path.display());
    Ok(())
}

fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unnamed processor");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism()?;
    let kernel = quietly(Command::new("uname").args(["-s", "-r", "-m"]))?;
    Ok(format!("{cores} cores of {model}, {}", kernel.trim()))
}
