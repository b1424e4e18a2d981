//! A VMM that runs: its process, its console, its last words.

use super::Link;
use crate::console::{Console, printable};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long the console and the messages of a VMM that ended may take to be read to their end.
const DRAIN: Duration = Duration::from_secs(2);
const MAX_STDERR: u64 = 64 << 10;

/// A running VMM. It is killed when this is dropped.
pub(crate) struct Machine {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) console: Console,
    reading: JoinHandle<()>,
    stderr: JoinHandle<String>,
    /// The way to the guest init.
    pub(crate) link: Link,
    /// When the guest init has opened its port.
    pub(crate) port_open: oneshot::Receiver<u64>,
    /// When a guest that had booted before went on here.
    pub(crate) restored_at: Option<u64>,
}

impl Machine {
    /// Runs `command`, whose standard output is the guest's console and whose standard error is the VMM's own.
    pub(super) fn start(
        command: std::process::Command,
        link: Link,
        port_open: oneshot::Receiver<u64>,
    ) -> io::Result<Self> {
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let pid = child.id().ok_or_else(missing)?;
        let console = Console::default();
        let reading = tokio::spawn(console.clone().read(child.stdout.take().ok_or_else(missing)?));
        let stderr = tokio::spawn(read_stderr(child.stderr.take().ok_or_else(missing)?));
        Ok(Self { child, pid, console, reading, stderr, link, port_open, restored_at: None })
    }

    /// Waits until the VMM has ended.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Makes the VMM, and with it the guest, stand still, or go on.
    ///
    /// # Errors
    /// Those of kill(2); `NotFound` for one that has ended.
    pub(crate) fn stand_still(&self, still: bool) -> io::Result<()> {
        // One that has ended and was waited for has no id any more, so the number is its own.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let signal = if still { Signal::STOP } else { Signal::CONT };
        Ok(kill_process(id.ok_or(io::ErrorKind::NotFound)?, signal)?)
    }

    /// Ends the VMM at once, and waits until it has.
    pub(crate) async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "the VMM cannot be killed");
        }
    }

    /// What the VMM said on standard error. The console has been read to its end, too, when this returns.
    pub(crate) async fn last_words(&mut self) -> String {
        drop(tokio::time::timeout(DRAIN, &mut self.reading).await);
        match tokio::time::timeout(DRAIN, &mut self.stderr).await {
            Ok(Ok(text)) => text,
            _ => String::new(),
        }
    }
}

/// The first of what the VMM says on standard error; the rest is read and dropped.
async fn read_stderr(mut from: ChildStderr) -> String {
    let mut text = Vec::new();
    drop((&mut from).take(MAX_STDERR).read_to_end(&mut text).await);
    drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await);
    let lines: Vec<String> =
        text.split(|b| *b == b'\n').map(printable).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}
