//! The guest's wall clock follows the host's: it is told when the host's was set or the host has slept, when the
//! guest has stood still, and from time to time, since two clocks drift apart.

#[cfg(target_os = "linux")]
#[path = "clock/linux.rs"]
mod steps;
#[cfg(target_os = "macos")]
#[path = "clock/macos.rs"]
mod steps;

use crate::life::Stillness;
use a3s_box_agent::AgentClient;
use a3s_box_agent::proto::agent::SetClockRequest;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use steps::Steps;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const EVERY: Duration = Duration::from_secs(300);
/// How long a guest may take to be told.
const ANSWER: Duration = Duration::from_secs(10);
/// A message that took longer was old news when it came.
const FRESH: Duration = Duration::from_millis(300);
const TRIES: u32 = 5;

/// Keeps the guest's clock right for as long as it is polled.
pub(crate) async fn follow(mut agent: AgentClient, mut stillness: watch::Receiver<Stillness>) {
    let steps = match Steps::watch() {
        Ok(steps) => Some(steps),
        Err(error) => {
            tracing::warn!(%error, "steps of the host's clock cannot be watched");
            None
        }
    };
    loop {
        tokio::select! {
            () = async { if let Some(steps) = &steps { steps.next().await } }, if steps.is_some() => {}
            changed = stillness.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            () = sleep(EVERY) => {}
        }
        // One that stands still is told when it goes on.
        if !stillness.borrow().still {
            tell(&mut agent).await;
        }
    }
}

async fn tell(agent: &mut AgentClient) {
    for _ in 0..TRIES {
        let begin = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let realtime_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        match timeout(ANSWER, agent.set_clock(SetClockRequest { realtime_ns })).await {
            Ok(Ok(reply)) => {
                tracing::debug!(
                    behind_ns = reply.into_inner().behind_ns,
                    "the guest was told what time it is"
                );
                if begin.elapsed() < FRESH {
                    return;
                }
            }
            // It may be about to end, or stand still again.
            Ok(Err(status)) => {
                tracing::warn!(%status, "the guest's clock cannot be set");
                return;
            }
            Err(_) => return,
        }
    }
}
