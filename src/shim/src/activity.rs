//! Whether anybody uses the box: for `--idle-timeout`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// When the box was used last, and whether it is now. All clones are one.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Mutex<Seen>>);

struct Seen {
    last: Instant,
    visits: usize,
}

impl Activity {
    /// Used just now.
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Seen { last: Instant::now(), visits: 0 })))
    }

    /// Used just now.
    pub(crate) fn touch(&self) {
        self.lock().last = Instant::now();
    }

    /// In use for as long as what this returns lives.
    pub(crate) fn visit(&self) -> Visit {
        self.lock().visits += 1;
        Visit(self.clone())
    }

    /// When it was used last: now, where it is in use.
    pub(crate) fn last(&self) -> Instant {
        let seen = self.lock();
        if seen.visits > 0 { Instant::now() } else { seen.last }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use of the box that goes on.
pub(crate) struct Visit(Activity);

impl Drop for Visit {
    fn drop(&mut self) {
        let mut seen = self.0.lock();
        seen.visits -= 1;
        seen.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_box_in_use_is_not_idle_and_its_end_counts() {
        let activity = Activity::begin();
        activity.lock().last -= Duration::from_secs(100);
        assert!(activity.last().elapsed() >= Duration::from_secs(100));
        let visit = activity.visit();
        assert!(activity.last().elapsed() < Duration::from_secs(50));
        drop(visit);
        assert!(activity.last().elapsed() < Duration::from_secs(50));
    }
}
