//! Building a rootfs image against decompressing its layers, on one core.

use super::{median, report};
use crate::step::{quietly, step};
use crate::{build, images, packages};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) fn run(rounds: usize) -> Result<()> {
    packages::install(&[packages::RUN, packages::TEST])?;
    let programs = build::run_all()?;
    let debian = images::debian()?;
    let dir = tempfile::tempdir()?;
    let mut rows = String::new();
    for format in ["gzip", "zstd"] {
        let layout = dir.path().join(format);
        let to = format!("oci:{}:debian", layout.display());
        let from = format!("oci:{}:latest", debian.display());
        quietly(Command::new("skopeo").args([
            "copy",
            "--dest-compress",
            "--dest-compress-format",
            format,
            &from,
            &to,
        ]))?;
        let layer = largest(&layout.join("blobs/sha256"))?;
        let size = fs::metadata(&layer)?.len();

        let home = dir.path().join(format!("home-{format}"));
        let a3s = |args: &[&str]| {
            let mut command = Command::new(programs.join("a3s-box"));
            command.args(args).env("A3S_HOME", &home);
            command
        };
        quietly(a3s(&["load", "--tag", "debian", "--input"]).arg(&layout))?;
        // What the store has found out about the layer while it was built from is kept in an attribute.
        let blob = home.join("images/blobs/sha256").join(layer.file_name().context("no layer")?);
        let (mut new, mut again, mut created, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let build = || {
            fs::remove_dir_all(home.join("rootfs"))?;
            timed(&mut a3s(&["create", "debian"]))
        };
        step(&format!("{rounds} rounds, {format}"), || {
            for round in 0..=rounds {
                let mut peer = Command::new("taskset");
                peer.args(["--cpu-list", "0", format, "-dc"]).arg(&layer);
                let peer = timed(&mut peer)?;
                let _ = rustix::fs::removexattr(&blob, "user.a3s.diff-id");
                let built = [build()?, build()?];
                let create = timed(&mut a3s(&["create", "debian"]))?;
                if round > 0 {
                    theirs.push(peer);
                    created.push(create);
                    new.push(built[0]);
                    again.push(built[1]);
                }
            }
            Ok(())
        })?;
        let (theirs, created) = (median(&theirs), median(&created));
        for (what, whole) in [("first", median(&new)), ("again", median(&again))] {
            let ours = whole.saturating_sub(created);
            rows += &format!(
                "| {format}, {what} | {:.0} MB | {:.0} ms | {:.0} ms | {:.0} ms | {:.2} | 0.8 |\n",
                size as f64 / 1e6,
                theirs.as_secs_f64() * 1000.0,
                whole.as_secs_f64() * 1000.0,
                ours.as_secs_f64() * 1000.0,
                theirs.as_secs_f64() / ours.as_secs_f64(),
            );
        }
    }
    let body = format!(
        "`a3s-box create` of a Debian image whose rootfs image is missing, against `gzip -dc` and `zstd -dc` of its layer \
         on one core. Building (decompression, the layer's digest, the EROFS file) is how much longer it takes than one \
         whose rootfs image is there. The first time, what the layer unpacks to is hashed; from then on that is known, \
         and the layer itself is hashed instead. Medians of {rounds}.\n\n\
         | layer | compressed | decompression alone | create | of it building | speed against it | at least |\n\
         |---|---|---|---|---|---|---|\n{rows}"
    );
    report::write("Rootfs image", "cargo xtask bench rootfs", &body)
}

fn timed(command: &mut Command) -> Result<Duration> {
    let begin = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(begin.elapsed())
}

fn largest(dir: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    files.max_by_key(|file| fs::metadata(file).map_or(0, |m| m.len())).context("no layer")
}
