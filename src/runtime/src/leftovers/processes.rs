//! Shims and VMMs that work for no box.

use super::{Leftover, LeftoverKind, What};
use crate::Home;
use crate::state::State;
use crate::{host, sys};
use a3s_box_core::{BoxError, HostProcess, Result};
use a3s_box_files::{Lock, Process};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a process that has let its box go may take to be gone.
const LEAVE: Duration = Duration::from_millis(500);

/// A process of a box, or one that was.
struct Worker {
    process: HostProcess,
    program: String,
    /// The folder that it works in, as it is called now.
    folder: PathBuf,
    /// Whether that folder is gone.
    deleted: bool,
}

pub(super) fn find(home: &Home, state: &State) -> Result<Vec<Leftover>> {
    let boxes = home.boxes();
    let boxes =
        fs::canonicalize(&boxes).map_err(|e| BoxError::io(format!("cannot read {}", boxes.display()), e))?;
    let pids = sys::processes().map_err(|e| BoxError::io("cannot read the process table", e))?;
    let parent = |pid: i32| Some((pid, Process::find(pid)?.parent));
    let all: Vec<(i32, i32)> = pids.into_iter().filter_map(parent).collect();
    let workers: Vec<Worker> = all.iter().filter_map(|(pid, _)| worker(*pid, &boxes)).collect();
    let ours: HashSet<i32> = all.iter().map(|(pid, _)| *pid).filter(|pid| program(*pid).is_some()).collect();
    // One whose box is gone may still run the hooks that are to hear of it.
    let tells = |worker: &Worker| {
        all.iter().any(|(pid, parent)| *parent == worker.process.pid && !ours.contains(pid))
    };
    let mut found = Vec::new();
    for worker in &workers {
        let name = worker.folder.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let record = state.records().values().find(|record| record.id.as_str() == name);
        let why = match record {
            _ if worker.deleted => "the folder that it works in is gone".to_owned(),
            None => "there is no such box".to_owned(),
            Some(record) => {
                let lock = home.folder(&record.id).run_lock();
                let held = Lock::is_held(&lock)
                    .map_err(|e| BoxError::io(format!("cannot look at box {}", record.name), e))?;
                if held || host::gone(worker.process, LEAVE) {
                    continue;
                }
                format!("box {} does not run", record.name)
            }
        };
        if !tells(worker) {
            let name = format!("{} ({})", worker.process.pid, worker.program);
            let (size, what) =
                (sys::resident(worker.process.pid).unwrap_or(0), What::Process(worker.process));
            found.push(Leftover::new(LeftoverKind::Process, name, why, size, what));
        }
    }
    // Shims first: their VMMs go with them.
    found.sort_by_key(|leftover| !leftover.name.contains("a3s-box-shim"));
    Ok(found)
}

/// What the process `pid` runs, if that is a shim, a VMM or a file server.
fn program(pid: i32) -> Option<String> {
    let program = sys::first_word(pid)?;
    let program = Path::new(&program).file_name()?.to_str()?.to_owned();
    let ours = ["a3s-box-shim", "a3s-box-krun", "a3s-box-files"].contains(&program.as_str());
    (ours || program.starts_with("qemu-system-")).then_some(program)
}

/// The process `pid`, if it is one of ours in a folder of `boxes`.
fn worker(pid: i32, boxes: &Path) -> Option<Worker> {
    let program = program(pid)?;
    // One that gave its rights away does not say where it works, but dies with its shim.
    let (folder, deleted) = sys::working_folder(pid)?;
    let process = host::process(pid)?;
    (folder.parent() == Some(boxes)).then_some(Worker { process, program, folder, deleted })
}
