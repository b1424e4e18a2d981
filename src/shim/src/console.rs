//! The guest's console: kept in a bounded file, and its last lines in memory for error messages.

use crate::status::now;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// `console.log` grows to this, then becomes `console.1.log`.
const MAX_FILE: usize = 1 << 20;
const KEPT_LINES: usize = 12;
const MAX_LINE: usize = 240;
/// What the guest init puts before the reason why it cannot go on.
const FATAL: &str = "a3s-box-init: fatal: ";

/// What the console has shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Console(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    first_at: Option<u64>,
    lines: VecDeque<String>,
    partial: Vec<u8>,
    fatal: Option<String>,
}

impl Console {
    /// Reads the console to its end.
    pub(crate) async fn read(self, mut from: impl AsyncRead + Unpin) {
        let mut file = File::create("console.log").ok();
        let mut written = 0;
        let mut buffer = vec![0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            self.show(&buffer[..n]);
            written += n;
            if written > MAX_FILE {
                // A guest may write for ever; the disk is the host's.
                drop(std::fs::rename("console.log", "console.1.log"));
                file = File::create("console.log").ok();
                written = n;
            }
            if let Some(file) = &mut file {
                drop(file.write_all(&buffer[..n]));
            }
        }
    }

    /// When the first byte came, in microseconds since the UNIX epoch.
    pub(crate) fn first_at(&self) -> Option<u64> {
        self.lock().first_at
    }

    /// Why the guest gave up, where it said so: the guest init's reason, or the kernel's panic.
    pub(crate) fn fatal(&self) -> Option<String> {
        self.lock().fatal.clone()
    }

    /// The last lines, indented, for an error message.
    pub(crate) fn tail(&self) -> String {
        let shown = self.lock();
        if shown.lines.is_empty() {
            return "\n  (the console shows nothing)".to_owned();
        }
        shown.lines.iter().map(|line| format!("\n  {line}")).collect()
    }

    fn show(&self, bytes: &[u8]) {
        let mut shown = self.lock();
        shown.first_at.get_or_insert_with(now);
        for byte in bytes {
            if *byte != b'\n' {
                // The rest of an endless line is dropped.
                if shown.partial.len() < MAX_LINE {
                    shown.partial.push(*byte);
                }
                continue;
            }
            let line = printable(&std::mem::take(&mut shown.partial));
            if let Some((_, reason)) = line.split_once(FATAL) {
                shown.fatal.get_or_insert_with(|| reason.to_owned());
            } else if let Some((_, reason)) = line.split_once("Kernel panic - ") {
                shown.fatal.get_or_insert_with(|| format!("kernel panic, {reason}"));
            }
            if !line.is_empty() {
                shown.lines.push_back(line);
            }
            if shown.lines.len() > KEPT_LINES {
                shown.lines.pop_front();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text that cannot steer a terminal: the guest writes it, a user reads it.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| !c.is_control())
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_harmless() {
        let console = Console::default();
        console.show(&[b'x'; 100_000]);
        console.show(b"\n\x1b[31mred\x07\r\n");
        for n in 0..100 {
            console.show(format!("line {n}\n").as_bytes());
        }
        let tail = console.tail();
        assert!(tail.len() < KEPT_LINES * (MAX_LINE + 4));
        assert!(tail.ends_with("line 99") && !tail.contains('\x1b'));
        assert!(console.first_at().is_some());
    }

    #[test]
    fn the_first_reason_is_kept() {
        let console = Console::default();
        console
            .show(b"[    1.0] a3s-box-init: fatal: root: cannot mount: EIO\nKernel panic - not syncing: x\n");
        assert_eq!(console.fatal().unwrap(), "root: cannot mount: EIO");
    }
}
