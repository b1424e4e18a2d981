//! The end of a guest that cannot go on.

use rustix::system::RebootCommand;
use std::fmt::{Display, Write as _};
use std::io::Write;

/// What the host looks for on the console.
const PREFIX: &str = "a3s-box-init: fatal: ";
/// printk cuts longer lines.
const MAX_LINE: usize = 900;

/// Why the guest cannot go on.
#[derive(Debug)]
pub(crate) struct Fatal {
    pub(crate) stage: &'static str,
    pub(crate) reason: String,
}

impl Fatal {
    /// `stage` failed for `reason`.
    pub(crate) fn new(stage: &'static str, reason: impl Display) -> Self {
        Self { stage, reason: reason.to_string() }
    }
}

/// Names the stage that an error belongs to.
pub(crate) trait Stage<T> {
    /// Fails `stage` with the error.
    fn stage(self, stage: &'static str) -> Result<T, Fatal>;
}

impl<T, E: Into<std::io::Error>> Stage<T> for Result<T, E> {
    fn stage(self, stage: &'static str) -> Result<T, Fatal> {
        self.map_err(|e| Fatal::new(stage, e.into()))
    }
}

/// Says on the console why the guest ends, and ends it.
pub(crate) fn end(stage: &str, reason: &dyn Display) -> ! {
    let mut line = String::new();
    // One line, whatever the reason holds.
    let _ = write!(line, "{PREFIX}{stage}: {reason}");
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LINE).collect();
    // The kernel's log reaches the console before the call returns, a terminal's buffer may not.
    let logged = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(format!("<2>{line}\n").as_bytes()));
    if logged.is_err() {
        drop(writeln!(std::io::stderr(), "{line}"));
        let _ = rustix::termios::tcdrain(std::io::stderr());
    }
    power_off()
}

/// Ends the machine at once. Every VMM understands a reset; without ACPI, few understand a power-off.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::Restart);
    crate::sys::exit_now(1)
}
