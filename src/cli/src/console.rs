//! This side of an attached process: the terminal's raw mode, standard input, its size, and signals.

use crate::detach::DetachKeys;
use a3s_box_core::{BoxError, Result, Signal, TtySize};
use a3s_box_runtime::ProcessInput;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::Read;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The terminal as it was before; it is put back when this goes.
pub(crate) struct RawMode(Option<Termios>);

impl RawMode {
    /// Lets every key through to the box, where standard input is a terminal.
    ///
    /// # Errors
    /// Those of tcsetattr(3).
    pub(crate) fn enter() -> Result<Self> {
        if !isatty(stdin()) {
            return Ok(Self(None));
        }
        let failed = |e: rustix::io::Errno| BoxError::io("cannot set up the terminal", e.into());
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }
}

/// The size of this terminal, where there is one.
pub(crate) fn size() -> Option<TtySize> {
    let size = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(TtySize { rows: size.ws_row, cols: size.ws_col })
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    isatty(stdin())
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    isatty(stdout())
}

/// The user has typed the keys that leave a process alone.
pub(crate) struct Detached;

/// Passes standard input (where `interactive`), window sizes (where `tty`) and signals on to a process, for as
/// long as it is polled, which has an end only where `keys` are typed at a terminal.
pub(crate) async fn feed(
    input: ProcessInput,
    interactive: bool,
    tty: bool,
    keys: Option<DetachKeys>,
) -> Detached {
    let mut tasks = tokio::task::JoinSet::new();
    if interactive {
        let input = input.clone();
        let mut chunks = stdin_chunks();
        let mut keys = keys.filter(|_| tty && stdin_is_terminal());
        tasks.spawn(async move {
            while let Some(chunk) = chunks.recv().await {
                let (bytes, typed) = match &mut keys {
                    Some(keys) => keys.pass(&chunk),
                    None => (chunk, false),
                };
                input.stdin(&bytes).await;
                if typed {
                    return true;
                }
            }
            input.close_stdin().await;
            false
        });
    }
    if tty {
        let input = input.clone();
        tasks.spawn(async move {
            follow_size(input).await;
            false
        });
    }
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()] {
        if let Ok(signal) = Signal::try_from(kind.as_raw_value()) {
            let input = input.clone();
            tasks.spawn(async move {
                forward(kind, signal, input).await;
                false
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        if matches!(done, Ok(true)) {
            return Detached;
        }
    }
    std::future::pending().await
}

async fn follow_size(input: ProcessInput) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        if let Some(size) = size() {
            input.resize(size).await;
        }
    }
}

async fn forward(kind: SignalKind, number: Signal, input: ProcessInput) {
    let Ok(mut arrivals) = signal(kind) else { return };
    while arrivals.recv().await.is_some() {
        input.signal(number).await;
    }
}

/// Standard input, read by a thread of its own: a blocking read cannot be called off, and must not hold up the end.
fn stdin_chunks() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(2);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stdin.read(&mut buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) | Ok(0) => return,
                Ok(n) => {
                    if sender.blocking_send(buffer[..n].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}
