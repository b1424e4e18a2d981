//! Points in time as people read them. All are microseconds since the UNIX epoch.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How long ago `then` was, as Docker puts it: `5 minutes`, `About an hour`.
pub(crate) fn since(then: u64) -> String {
    let seconds = now().saturating_sub(then) / 1_000_000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_dockers_do() {
        let ago = |seconds: u64| since(now() - seconds * 1_000_000);
        assert_eq!(ago(5), "5 seconds");
        assert_eq!(ago(61), "About a minute");
        assert_eq!(ago(3601), "About an hour");
        assert_eq!(ago(86_400 * 3), "3 days");
    }
}
