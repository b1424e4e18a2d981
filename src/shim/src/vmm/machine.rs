//! A VMM that runs: its process, its console, its last words.

use super::Link;
use crate::console::{Console, printable};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long the console and the messages of a VMM that ended may take to be read to their end.
const DRAIN: Duration = Duration::from_secs(2);
/// How much of the beginning of what a VMM says is kept, and how much of its end.
const MOST_WORDS: usize = 2 << 10;

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

/// What the VMM says on standard error: its beginning and its end. A guest may have it say the same without an end.
async fn read_stderr(mut from: impl AsyncRead + Unpin) -> String {
    let (mut text, mut buffer) = (Vec::new(), vec![0; 4 * MOST_WORDS]);
    let mut is_cut = false;
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..n]);
        if text.len() > 2 * MOST_WORDS {
            text.drain(MOST_WORDS..text.len() - MOST_WORDS);
            is_cut = true;
        }
    }
    if is_cut {
        text.splice(MOST_WORDS..MOST_WORDS, *b"\n...\n");
    }
    let lines: Vec<String> =
        text.split(|b| *b == b'\n').map(printable).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_and_the_last_words_are_kept() {
        assert_eq!(read_stderr(&b"one\n\ntwo\x1b\n"[..]).await, "one; two");
        let mut flood = b"first\n".to_vec();
        flood.resize(1 << 20, b'x');
        flood.extend_from_slice(b"\nlast\n");
        let words = read_stderr(&flood[..]).await;
        assert!(
            words.starts_with("first; xxx") && words.contains("xx; ...; xx") && words.ends_with("xx; last")
        );
        assert!(words.len() < 2 * MOST_WORDS + 20, "{} bytes", words.len());
    }
}
