//! `Shutdown`: the end of the box and of its machine, with its disk whole.

use super::{Guest, delivery};
use crate::boot::{CGROUP, power_off, unmount_upper, unmount_volumes, uptime_us};
use crate::process::value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long the box's processes may take to be gone, and their mounts with them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the host may take to answer what they have asked of its files.
const ANSWERS: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);
/// How long a box whose container process has ended waits for a host that does not ask for anything.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// Ends everything and powers off; returns only where that failed, with the reason.
pub(super) async fn shut_down(guest: &Guest) -> String {
    let deadline = Instant::now() + PATIENCE;
    if let Err(e) = std::fs::write(format!("{CGROUP}/cgroup.kill"), "1") {
        return failed(&format!("cannot kill the box's processes: {e}"));
    }
    // Who waits for a host that does not answer cannot end, not even by force.
    if timeout(ANSWERS, value(&mut guest.main_ended.clone())).await.is_err() {
        guest.binds.end();
    }
    if timeout(PATIENCE, value(&mut guest.main_ended.clone())).await.is_err() {
        return failed("the container process does not end");
    }
    let impatient = Instant::now() + ANSWERS;
    while !guest.reaper.is_idle() {
        if Instant::now() > impatient {
            guest.binds.end();
        }
        if Instant::now() > deadline {
            return failed("a process of the box does not end");
        }
        sleep(PAUSE).await;
    }
    loop {
        match unmount_volumes(guest.container.volumes).and_then(|()| unmount_upper()) {
            Ok(()) => break,
            // The last process's mounts may go a moment after it.
            Err(rustix::io::Errno::BUSY) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(e) => {
                return failed(&format!(
                    "cannot unmount the writable layer or a volume: {}",
                    std::io::Error::from(e)
                ));
            }
        }
    }
    delivery::finish().await;
    power_off()
}

/// The host will end this machine by force: what can be saved is saved first.
fn failed(reason: &str) -> String {
    rustix::fs::sync();
    reason.to_owned()
}

/// Ends a machine that nobody needs: its container process has ended, and the host has forgotten it.
pub(super) async fn when_forgotten(guest: Arc<Guest>) {
    value(&mut guest.main_ended.clone()).await;
    let ended = uptime_us();
    loop {
        sleep(Duration::from_secs(1)).await;
        let last = guest.last_call.load(Ordering::Relaxed).max(ended);
        let quiet = Duration::from_micros(uptime_us().saturating_sub(last));
        if guest.calls.load(Ordering::Relaxed) == 0 && quiet > FORGOTTEN {
            let reason = shut_down(&guest).await;
            eprintln!("a3s-box-init: {reason}");
            power_off();
        }
    }
}
