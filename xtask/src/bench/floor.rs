//! The bare VM that a box is measured against.

use super::boot::Boxes;
use crate::step::quietly;
use crate::{build, guest};
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A VMM that boots the box's kernel, with its flags, into the floor's init.
pub(super) struct Floor {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Floor {
    /// Learns from a box that runs how its VMM is called.
    pub(super) fn prepare(boxes: &Boxes) -> Result<Self> {
        quietly(&mut boxes.a3s(&["run", "-d", "--name", "floor", "busybox", "sleep", "100000"]))?;
        let view = boxes.inspect("floor")?;
        let pid = view["run"]["vmm"]["pid"].as_i64().context("the box has no VMM")?;
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let files = Files {
            initramfs: guest::pack("floor-init")?,
            // The box will be gone, and its disk with it; the floor gets one that is as empty.
            disk: fs::read_dir(boxes.home.join("disks"))?.next().context("no disk")??.path(),
        };
        let words: Vec<&str> = line.trim_end_matches('\0').split('\0').skip(1).collect();
        let floor = if boxes.pair.vmm == "krun" {
            krun(&words, pid, files)
        } else {
            Ok(Self {
                program: "qemu-system-x86_64".into(),
                arguments: words
                    .iter()
                    .filter(|word| !matches!(**word, "-incoming" | "defer"))
                    .map(|word| files.put_into(word).into())
                    .collect(),
            })
        };
        quietly(&mut boxes.a3s(&["rm", "-f", "floor"]))?;
        floor
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// libkrun, called by a program that does nothing else.
fn krun(words: &[&str], pid: i64, files: Files) -> Result<Floor> {
    let program = build::bare_krun()?;
    let guest: Value = serde_json::from_str(words.last().context("the VMM was told nothing")?)?;
    // What the shim has opened for it: the initramfs, the kernel, the rootfs image, the disk.
    let opened = |fd: u32| fs::read_link(format!("/proc/{pid}/fd/{fd}"));
    let disk = files.disk.with_extension("floor");
    fs::copy(&files.disk, &disk)?;
    let word = |what: &str, value: &OsStr| {
        let mut word = OsString::from(what);
        word.push("=");
        word.push(value);
        word
    };
    let command_line = guest["command_line"].as_str().context("the guest has no command line")?;
    Ok(Floor {
        program,
        arguments: vec![
            word("memory", guest["memory_mib"].to_string().as_ref()),
            word("kernel", opened(4)?.as_ref()),
            word("initramfs", files.initramfs.as_ref()),
            word("append", command_line.as_ref()),
            word("readonly", opened(5)?.as_ref()),
            word("disk", disk.as_ref()),
        ],
    })
}

struct Files {
    initramfs: PathBuf,
    disk: PathBuf,
}

impl Files {
    /// QEMU's argument with what only a shim can give it taken out.
    fn put_into(&self, argument: &str) -> String {
        let path = |path: &Path| path.display().to_string();
        if argument.ends_with(".cpio") {
            return path(&self.initramfs);
        }
        if let (true, Some((id, _))) = (argument.starts_with("socket,"), argument.split_once(",fd=")) {
            return id.replace("socket,", "null,");
        }
        if argument.starts_with("stream,id=network,") {
            return "hubport,id=network,hubid=0".to_owned();
        }
        match argument.split_once(",file=") {
            Some((drive, file)) if file.ends_with("upper.ext4") => {
                format!("{drive},snapshot=on,file={}", path(&self.disk))
            }
            _ => argument.to_owned(),
        }
    }
}
