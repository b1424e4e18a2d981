//! The host's folders and files that a box has: a file server of its own for each box, and what carries its messages.
//!
//! The server is this program once more, started as `a3s-box-shim files`: it has the folders as descriptors, confines
//! itself to them, and speaks FUSE with the guest's kernel. The VMM has no part in it.

mod carry;
mod child;

pub(crate) use child::enter;

use crate::sys;
use crate::vmm::Link;
use a3s_box_core::ShimSpec;
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The word that makes this program a file server.
pub(crate) const WORD: &str = "files";
/// How long the server may take to be ready; it is a matter of milliseconds.
const READY: Duration = Duration::from_secs(10);
/// What it has to say where it is not.
const MAX_REASON: u64 = 4096;

/// What the server's process is told. Its descriptors are those of the folders, each followed by its stream's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// Whether each can only be read.
    read_only: Vec<bool>,
    /// The folder that none of them shows: device and inode of the state directory.
    hidden: Option<((u32, u32), u64)>,
}

/// A file server that runs. It is killed when this is dropped.
pub(crate) struct Binds {
    server: Child,
    streams: Vec<UnixStream>,
    carrying: JoinSet<()>,
}

/// Starts the file server of `spec`, where the box has files of the host.
///
/// # Errors
/// What keeps it from being started, ready for a user to read.
pub(crate) async fn start(spec: &ShimSpec) -> Result<Option<Binds>, String> {
    if spec.binds.is_empty() {
        return Ok(None);
    }
    let mut roots = Vec::new();
    for (source, point) in spec.binds.iter().zip(&spec.boot.binds) {
        roots.push(open(source, point.file)?);
    }
    let failed = |e: io::Error| format!("cannot start the file server: {e}");
    let (mut server, streams) = spawn(spec, &roots).map_err(failed)?;
    let mut reason = String::new();
    let said = server.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    match timeout(READY, BufReader::new(said.take(MAX_REASON)).read_line(&mut reason)).await {
        Ok(Ok(_)) if reason.trim_end() == child::IS_READY => {
            Ok(Some(Binds { server, streams, carrying: JoinSet::new() }))
        }
        Ok(Ok(_)) => Err(format!("cannot start the file server: {}", reason.trim())),
        Ok(Err(e)) => Err(failed(e)),
        Err(late) => Err(failed(late.into())),
    }
}

/// The folder or file itself, with a descriptor that leads nowhere.
fn open(source: &Path, file: bool) -> Result<OwnedFd, String> {
    let cannot = |e: rustix::io::Errno| format!("cannot mount {}: {e}", source.display());
    let fd = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(cannot)?;
    let stat = rustix::fs::fstat(&fd).map_err(cannot)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let (wanted, name) = if file { (FileType::RegularFile, "file") } else { (FileType::Directory, "folder") };
    if kind != wanted {
        return Err(format!("cannot mount {}: it is no {name} any more", source.display()));
    }
    Ok(fd)
}

fn spawn(spec: &ShimSpec, roots: &[OwnedFd]) -> io::Result<(Child, Vec<UnixStream>)> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in roots {
        let (near, far) = StdUnixStream::pair()?;
        near.set_nonblocking(true)?;
        ours.push(UnixStream::from_std(near)?);
        theirs.push(OwnedFd::from(far));
    }
    let told = Told {
        read_only: spec.boot.binds.iter().map(|point| point.read_only).collect(),
        hidden: spec.events.parent().and_then(identity),
    };
    let mut command = std::process::Command::new(sys::this_program()?);
    command.arg0("a3s-box-files").arg(WORD).arg(serde_json::to_string(&told)?).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let fds: Vec<&OwnedFd> = roots.iter().zip(&theirs).flat_map(|(root, stream)| [root, stream]).collect();
    let inherited = sys::confine(&mut command, &fds, None)?;
    let server = Command::from(command).kill_on_drop(true).spawn()?;
    drop(inherited);
    Ok((server, ours))
}

fn identity(folder: &Path) -> Option<((u32, u32), u64)> {
    let data = std::fs::metadata(folder).ok()?;
    Some(((rustix::fs::major(data.dev()), rustix::fs::minor(data.dev())), data.ino()))
}

impl Binds {
    /// Serves the guest that is reached through `link`, which has begun to serve.
    pub(crate) fn serve(&mut self, link: &Link) {
        for (index, stream) in (0..).zip(self.streams.drain(..)) {
            self.carrying.spawn(carry::carry(link.clone(), index, stream));
        }
    }

    /// Ends the server, once the guest has ended.
    pub(crate) async fn stop(mut self) {
        self.carrying.abort_all();
        if let Err(error) = self.server.kill().await {
            tracing::warn!(%error, "the file server cannot be killed");
        }
    }
}
