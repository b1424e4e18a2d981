//! Writing a process's output to ours, at once and whole.

use a3s_box_core::{BoxError, Result};
use std::io::{self, Write};

/// What a shell reports for a program whose reader went away: 128 + SIGPIPE.
pub(crate) const BROKEN_PIPE: u8 = 141;

/// Where output goes.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Stdout,
    Stderr,
}

/// Writes `bytes`. Whether somebody is still reading.
///
/// # Errors
/// Those of write(2), but for a reader that went away.
pub(crate) fn write(target: Target, bytes: &[u8]) -> Result<bool> {
    let written = match target {
        Target::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        Target::Stderr => io::stderr().lock().write_all(bytes),
    };
    match written {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(BoxError::io("cannot write output", e)),
    }
}

/// Prints a line of our own.
///
/// # Errors
/// Those of write(2), but for a reader that went away.
pub(crate) fn line(text: &str) -> Result<()> {
    write(Target::Stdout, format!("{text}\n").as_bytes()).map(drop)
}
