//! Two clocks that are compared, now and then.

use std::io;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// How often they are compared.
const EVERY: Duration = Duration::from_secs(5);
/// What they may differ by meanwhile: less is no step.
const NO_STEP: Duration = Duration::from_millis(100);

/// Steps of the host's clock: it and the one that nobody sets, and that stands still while the host sleeps, drift apart.
pub(super) struct Steps;

impl Steps {
    /// # Errors
    /// None; Linux's may have some.
    pub(super) fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) {
        let (wall, begin) = (SystemTime::now(), Instant::now());
        loop {
            sleep(EVERY).await;
            let due = wall + begin.elapsed();
            let ahead = SystemTime::now().duration_since(due).unwrap_or_else(|behind| behind.duration());
            if ahead > NO_STEP {
                return;
            }
        }
    }
}
