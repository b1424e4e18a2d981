//! How a pull is shown: bars on a terminal, lines elsewhere, JSON for programs. All on standard error, but JSON.

use crate::stream;
use a3s_box_core::Bytes;
use a3s_box_image::{Digest, PullEvent};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rustix::termios::isatty;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// In JSON, a blob's progress is told each time that so many bytes more have come.
const STEP: u64 = 1 << 20;

/// What is shown of a pull.
pub(crate) enum Progress {
    /// Nothing.
    Quiet,
    /// A line when a blob begins, and one when it ends.
    Lines,
    /// A bar for each blob.
    Bars { all: MultiProgress, bars: Mutex<HashMap<Digest, ProgressBar>> },
    /// A JSON object for each event; the bytes of each blob that were told last.
    Json(Mutex<HashMap<Digest, u64>>),
}

impl Progress {
    /// For people.
    pub(crate) fn shown() -> Self {
        if isatty(rustix::stdio::stderr()) && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            Self::Bars { all: MultiProgress::new(), bars: Mutex::default() }
        } else {
            Self::Lines
        }
    }

    /// For programs.
    pub(crate) fn json() -> Self {
        Self::Json(Mutex::default())
    }

    /// Shows what happened.
    pub(crate) fn tell(&self, event: PullEvent) {
        match self {
            Self::Quiet => {}
            Self::Lines => match event {
                PullEvent::Resolved { digest } => eprintln!("{digest}"),
                PullEvent::Present { digest } => eprintln!("{}: already here", digest.short()),
                PullEvent::Started { digest, size } => {
                    eprintln!("{}: pulling {}", digest.short(), Bytes(size))
                }
                PullEvent::Received { .. } => {}
                PullEvent::Finished { digest } => eprintln!("{}: done", digest.short()),
            },
            Self::Bars { all, bars } => draw(all, lock(bars), event),
            Self::Json(told) => {
                if let Some(object) = object(lock(told), event) {
                    // A reader that went away does not end the pull.
                    let _ = stream::line(&object.to_string());
                }
            }
        }
    }

    /// Leaves the terminal as it is to stay.
    pub(crate) fn finish(&self) {
        if let Self::Bars { bars, .. } = self {
            lock(bars).values().for_each(ProgressBar::abandon);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn draw(all: &MultiProgress, mut bars: MutexGuard<'_, HashMap<Digest, ProgressBar>>, event: PullEvent) {
    match event {
        PullEvent::Resolved { digest } => drop(all.println(digest.to_string())),
        PullEvent::Present { digest } => {
            let bar = all.add(ProgressBar::new(1).with_style(style("{prefix} already here")));
            bar.set_prefix(digest.short());
            bar.abandon();
        }
        PullEvent::Started { digest, size } => {
            let look = "{prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
            let bar = all.add(ProgressBar::new(size).with_style(style(look).progress_chars("=> ")));
            bar.set_prefix(digest.short());
            bar.enable_steady_tick(Duration::from_millis(200));
            bars.insert(digest, bar);
        }
        PullEvent::Received { digest, bytes } => {
            if let Some(bar) = bars.get(&digest) {
                bar.set_position(bytes);
            }
        }
        PullEvent::Finished { digest } => {
            if let Some(bar) = bars.remove(&digest) {
                bar.set_style(style("{prefix} {binary_total_bytes} done"));
                bar.abandon();
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn object(mut told: MutexGuard<'_, HashMap<Digest, u64>>, event: PullEvent) -> Option<Value> {
    Some(match event {
        PullEvent::Resolved { digest } => json!({"event": "resolved", "digest": digest}),
        PullEvent::Present { digest } => json!({"event": "present", "digest": digest}),
        PullEvent::Started { digest, size } => json!({"event": "started", "digest": digest, "size": size}),
        PullEvent::Received { digest, bytes } => {
            let last = told.entry(digest).or_default();
            if bytes < *last + STEP {
                return None;
            }
            *last = bytes;
            json!({"event": "received", "digest": digest, "bytes": bytes})
        }
        PullEvent::Finished { digest } => json!({"event": "finished", "digest": digest}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_does_not_tell_of_every_byte() {
        let told = Mutex::default();
        let digest = Digest::of(b"x");
        let tell = |bytes| object(lock(&told), PullEvent::Received { digest, bytes });
        assert_eq!(tell(10), None);
        let object = tell(STEP).unwrap();
        assert_eq!(object, json!({"event": "received", "digest": digest.to_string(), "bytes": STEP}));
        assert_eq!(tell(STEP + 1), None);
        assert!(tell(3 * STEP).is_some());
    }
}
