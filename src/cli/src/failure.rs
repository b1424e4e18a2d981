//! How an error reaches the user: once, here, with its causes and what to do next.

use a3s_box_core::BoxError;
use std::error::Error;
use std::process::ExitCode;

/// The exit code of every failure of ours, as Docker's.
pub(crate) const OURS: u8 = 125;

/// Prints `error` and gives the exit code for it.
pub(crate) fn report(error: &BoxError) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    eprintln!("{text}");
    ExitCode::from(OURS)
}

/// The byte that a process can exit with, for an exit code from a box.
pub(crate) fn exit_code(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(OURS)
}
