//! Files and folders that belong to nobody.

use super::{Leftover, LeftoverKind};
use crate::Home;
use crate::networks::Networks;
use crate::state::{State, look};
use crate::volumes::Volumes;
use a3s_box_core::{BoxError, Result, TemplateHead, boot_of_template};
use a3s_box_files::{abandoned, boot_id};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What the disks are called that are made now, after their size.
const DISK: &str = "-v1.img";

pub(super) fn find(home: &Home, state: &State) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for path in entries(&home.boxes())? {
        if !state.records().keys().any(|id| path.file_name() == Some(OsStr::new(id.as_str()))) {
            found.push(Leftover::path(LeftoverKind::Folder, path, "no box has it"));
        }
    }
    for path in Volumes::of(home).half_made()? {
        found.push(Leftover::path(
            LeftoverKind::Volume,
            path,
            "it was not finished, or not removed to the end",
        ));
    }
    found.extend(networks(home, state)?);
    for path in entries(&home.disks())? {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("ext4-") && !name.ends_with(DISK) {
            found.push(Leftover::path(LeftoverKind::Disk, path, "no box is made from it any more"));
        }
    }
    for path in entries(&home.templates())? {
        if path.extension() == Some(OsStr::new("template")) && !is_good(&path) {
            let why = "it is damaged, or of an earlier boot of the host: no box can go on from it";
            found.push(Leftover::path(LeftoverKind::Template, path, why));
        }
    }
    let mut dirs = vec![home.path().to_owned(), home.images(), home.rootfs(), home.disks(), home.templates()];
    for parent in [home.boxes(), home.volumes(), home.networks()] {
        dirs.extend(entries(&parent)?);
        dirs.push(parent);
    }
    // What goes anyway is not told file by file.
    dirs.retain(|dir| dir.is_dir() && !found.iter().any(|left| left.is_at(dir)));
    for dir in dirs {
        let files = abandoned(&dir).map_err(|e| BoxError::io(format!("cannot read {}", dir.display()), e))?;
        let why = "its writer is gone";
        found.extend(files.into_iter().map(|path| Leftover::path(LeftoverKind::TemporaryFile, path, why)));
    }
    Ok(found)
}

/// Parts of networks that are none, and places in networks that no box has.
fn networks(home: &Home, state: &State) -> Result<Vec<Leftover>> {
    let networks = Networks::of(home);
    let names = networks.names()?;
    let mut found = Vec::new();
    for folder in entries(&home.networks())?.into_iter().filter(|path| path.is_dir()) {
        let network = names.iter().find(|name| folder.file_name() == Some(OsStr::new(name.as_str())));
        let Some(network) = network else {
            let why = "it was not finished, or not removed to the end";
            found.push(Leftover::path(LeftoverKind::Network, folder, why));
            continue;
        };
        for path in entries(&folder)? {
            let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            let on = |record: &&crate::BoxRecord| {
                record.name.as_str() == stem && record.config.network.networks.contains(network)
            };
            let owner = state.records().values().find(on);
            let socket = matches!(path.extension().and_then(OsStr::to_str), Some("sock" | "udp"));
            let ours = socket || path.extension() == Some(OsStr::new("json"));
            match owner {
                Some(record) if socket && !look(home, record)?.state.is_live() => {
                    let why = format!("box {stem} does not run, so nobody listens");
                    found.push(Leftover::path(LeftoverKind::Socket, path, why));
                }
                None if ours => {
                    let kind = if socket { LeftoverKind::Socket } else { LeftoverKind::Network };
                    let why = format!("no box {stem} is on network {network}");
                    found.push(Leftover::path(kind, path, why));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Whether a box can go on from the template at `path`.
fn is_good(path: &Path) -> bool {
    let read = || -> io::Result<bool> {
        let mut file = File::open(path)?;
        let mut head = [0; TemplateHead::SIZE];
        file.read_exact(&mut head)?;
        let length = file.metadata()?.len();
        let Some(head) = TemplateHead::parse(&head).filter(|head| head.length == length) else {
            return Ok(false);
        };
        let mut key = String::new();
        file.take(head.key).read_to_string(&mut key)?;
        Ok(boot_of_template(&key) == Some(&*boot_id()?))
    };
    match read() {
        Ok(good) => good,
        // Another box has just removed it.
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

/// What is in `dir`, by name; nothing where there is no such folder.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    match read() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|e| BoxError::io(format!("cannot read {}", dir.display()), e)),
    }
}
