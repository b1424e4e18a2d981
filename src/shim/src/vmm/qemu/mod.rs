//! QEMU as a child process, driven over QMP.

mod command_line;
mod qmp;

use crate::console::{Console, printable};
use crate::{cpio, sys};
use a3s_box_core::ShimSpec;
use command_line::{AGENT_FD, INITRD_FD, QMP_FD};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long the console and the messages of a QEMU that ended may take to be read to their end.
const DRAIN: Duration = Duration::from_secs(2);
const MAX_STDERR: u64 = 64 << 10;

/// A running QEMU.
pub(crate) struct Qemu {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) console: Console,
    reading: JoinHandle<()>,
    stderr: JoinHandle<String>,
    /// When the guest has opened the agent's port.
    pub(crate) port_open: oneshot::Receiver<u64>,
}

/// Starts QEMU, and gives the host's end of the agent's port with it.
///
/// # Errors
/// What keeps QEMU from being started, ready for a user to read.
pub(crate) fn launch(spec: &ShimSpec) -> Result<(Qemu, UnixStream), String> {
    for (what, file) in
        [("kernel", &spec.kernel), ("initramfs", &spec.initramfs), ("rootfs image", &spec.rootfs)]
    {
        std::fs::File::open(file).map_err(|e| format!("cannot open the {what} {}: {e}", file.display()))?;
    }
    let boot = serde_json::to_vec(&spec.boot).map_err(|e| e.to_string())?;
    let initrd =
        cpio::initramfs(&spec.initramfs, &boot).map_err(|e| format!("cannot make the initramfs: {e}"))?;
    let program =
        std::env::var_os("A3S_BOX_QEMU").map_or_else(|| PathBuf::from(command_line::PROGRAM), PathBuf::from);
    spawn(spec, &program, initrd).map_err(|e| format!("cannot run {}: {e}", program.display()))
}

fn spawn(spec: &ShimSpec, program: &PathBuf, initrd: OwnedFd) -> io::Result<(Qemu, UnixStream)> {
    let (agent, agent_guest) = StdUnixStream::pair()?;
    let (qmp, qmp_guest) = StdUnixStream::pair()?;
    let mut command = std::process::Command::new(program);
    command.args(command_line::arguments(spec));
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    debug_assert_eq!((AGENT_FD, QMP_FD, INITRD_FD), (3, 4, 5));
    let inherited = sys::confine(&mut command, &[&agent_guest.into(), &qmp_guest.into(), &initrd])?;
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    drop(inherited);

    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let pid = child.id().ok_or_else(missing)?;
    let console = Console::default();
    let reading = tokio::spawn(console.clone().read(child.stdout.take().ok_or_else(missing)?));
    let stderr = tokio::spawn(read_stderr(child.stderr.take().ok_or_else(missing)?));
    let (opened, port_open) = oneshot::channel();
    tokio::spawn(qmp::watch(tokio_stream(qmp)?, opened));
    Ok((Qemu { child, pid, console, reading, stderr, port_open }, tokio_stream(agent)?))
}

fn tokio_stream(stream: StdUnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// The first of what QEMU says on standard error; the rest is read and dropped.
async fn read_stderr(mut from: ChildStderr) -> String {
    let mut text = Vec::new();
    drop((&mut from).take(MAX_STDERR).read_to_end(&mut text).await);
    drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await);
    let lines: Vec<String> =
        text.split(|b| *b == b'\n').map(printable).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

impl Qemu {
    /// Waits until QEMU has ended.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends QEMU at once, and waits until it has.
    pub(crate) async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "QEMU cannot be killed");
        }
    }

    /// What QEMU said on standard error. The console has been read to its end, too, when this returns.
    pub(crate) async fn last_words(&mut self) -> String {
        drop(tokio::time::timeout(DRAIN, &mut self.reading).await);
        match tokio::time::timeout(DRAIN, &mut self.stderr).await {
            Ok(Ok(text)) => text,
            _ => String::new(),
        }
    }
}
