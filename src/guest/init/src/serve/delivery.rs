//! What processes have written to the network before their end, and what is still on its way.

use std::fs;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A host that takes nothing is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until TCP has delivered what its sockets held when they were closed: the machine's end would be theirs.
pub(super) async fn finish() {
    let deadline = Instant::now() + PATIENCE;
    while is_underway() && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
}

fn is_underway() -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|path| {
        let table = fs::read_to_string(path).unwrap_or_default();
        table.lines().skip(1).any(is_closing)
    })
}

/// Whether a line of `/proc/net/tcp` is of a socket that was closed, and whose end is not acknowledged (kernel docs,
/// networking/proc_net_tcp; the states are those of `include/net/tcp_states.h`).
fn is_closing(line: &str) -> bool {
    const FIN_WAIT1: &str = "04";
    const LAST_ACK: &str = "09";
    const CLOSING: &str = "0B";
    matches!(line.split_ascii_whitespace().nth(3), Some(FIN_WAIT1 | LAST_ACK | CLOSING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_still_sends_is_told_from_others() {
        let line = |state: &str| {
            format!(
                "   0: 0250A30A:AC9E 0150A30A:B52F {state} 003BED80:00000000 04:000012D4 00000000  0  0 35 2 0 20 4 0 21 21"
            )
        };
        assert!(["04", "09", "0B"].iter().all(|state| is_closing(&line(state))));
        // Established, listening, and such as only wait for others.
        assert!(!["01", "0A", "05", "06", "08"].iter().any(|state| is_closing(&line(state))));
        assert!(!is_closing(""));
    }
}
