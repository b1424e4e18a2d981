//! QEMU as a child process, driven over QMP.

mod command_line;
mod qmp;

use super::{Link, Machine};
use crate::{confine, cpio, sys};
use a3s_box_agent::mux::Opener;
use a3s_box_core::ShimSpec;
use command_line::{AGENT_FD, INITRD_FD, NETWORK_FD, QMP_FD};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Starts QEMU.
///
/// # Errors
/// What keeps QEMU from being started, ready for a user to read.
pub(super) fn launch(spec: &ShimSpec, network: Option<OwnedFd>) -> Result<Machine, String> {
    let initrd = cpio::initramfs(spec).map_err(|e| format!("cannot make the initramfs: {e}"))?;
    let program = find().ok_or_else(|| format!("{} is not installed", command_line::PROGRAM))?;
    let files = confine::files_of(&program, spec)?;
    spawn(spec, &program, (initrd, network), files.as_ref())
        .map_err(|e| format!("cannot run {}: {e}", program.display()))
}

/// The QEMU that `$A3S_BOX_QEMU` names, or the first in `PATH`.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("A3S_BOX_QEMU").map(PathBuf::from).or_else(|| {
        std::env::split_paths(&path).map(|dir| dir.join(command_line::PROGRAM)).find(|file| file.is_file())
    })
}

fn spawn(
    spec: &ShimSpec,
    program: &Path,
    (initrd, network): (OwnedFd, Option<OwnedFd>),
    files: Option<&OwnedFd>,
) -> io::Result<Machine> {
    let (agent, agent_guest) = StdUnixStream::pair()?;
    let (qmp, qmp_guest) = StdUnixStream::pair()?;
    let mut command = std::process::Command::new(program);
    command.args(command_line::arguments(spec));
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    debug_assert_eq!((AGENT_FD, QMP_FD, INITRD_FD, NETWORK_FD), (3, 4, 5, 6));
    let (agent_guest, qmp_guest) = (agent_guest.into(), qmp_guest.into());
    let given: Vec<&OwnedFd> = [&agent_guest, &qmp_guest, &initrd].into_iter().chain(&network).collect();
    let inherited = sys::confine(&mut command, &given, files)?;
    let (opened, port_open) = oneshot::channel();
    let link = Link::Serial(Opener::over(tokio_stream(agent)?));
    let machine = Machine::start(command, link, port_open)?;
    drop(inherited);
    tokio::spawn(qmp::watch(tokio_stream(qmp)?, opened));
    Ok(machine)
}

fn tokio_stream(stream: StdUnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
