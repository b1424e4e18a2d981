//! The file server's process.

use super::Told;
use crate::{confine, sys};
use a3s_box_fuse::{Export, Identity, Share, serve};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// What it says when it serves.
pub(super) const IS_READY: &str = "ready";

/// Serves what `json` says until every stream has ended, or says why it does not.
pub(crate) fn enter(json: Option<&str>) -> ExitCode {
    let Some(told) = json.and_then(|json| serde_json::from_str::<Told>(json).ok()) else {
        eprintln!("not to be run by hand: a3s-box-shim starts it");
        return ExitCode::FAILURE;
    };
    match run(&told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&reason);
            ExitCode::FAILURE
        }
    }
}

/// Says it to the shim, which hears no more than this line.
fn say(text: &str) {
    let mut out = std::io::stdout();
    drop(writeln!(out, "{}", text.replace('\n', " ")).and_then(|()| out.flush()));
}

fn run(told: &Told) -> Result<(), String> {
    let count = i32::try_from(told.read_only.len() * 2).map_err(|e| e.to_string())?;
    let mut files =
        sys::inherited(count).map_err(|e| format!("it was not given its files: {e}"))?.into_iter();
    let mut exports = Vec::new();
    while let (Some(root), Some(stream)) = (files.next(), files.next()) {
        exports.push((root, UnixStream::from(stream)));
    }
    let roots: Vec<(&OwnedFd, bool)> =
        exports.iter().map(|(root, _)| root).zip(told.read_only.iter().copied()).collect();
    let descriptors = confine::confine_files(&roots)?;
    // Modes are the guest's to choose.
    rustix::process::umask(rustix::fs::Mode::empty());
    let each = descriptors / exports.len().max(1);
    let hidden = told.hidden.map(|(device, inode)| Identity { device, inode });
    let mut threads = Vec::new();
    for ((root, stream), read_only) in exports.into_iter().zip(&told.read_only) {
        let export = Export { root, read_only: *read_only, hidden, descriptors: each };
        let share = Share::new(export).map_err(|e| format!("a folder cannot be served: {e}"))?;
        threads.extend(serve(share, stream).map_err(|e| format!("no thread can be made: {e}"))?);
    }
    say(IS_READY);
    for thread in threads {
        drop(thread.join());
    }
    Ok(())
}
