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

/// In RFC 3339, to the second, in UTC.
pub(crate) fn rfc3339(then: u64) -> String {
    let seconds = then / 1_000_000;
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

/// As [`rfc3339`], with nine digits after the second, as Docker prints it.
pub(crate) fn rfc3339_nanos(then: u64) -> String {
    format!("{}.{:06}000Z", rfc3339(then).trim_end_matches('Z'), then % 1_000_000)
}

/// As [`rfc3339`], to the microsecond.
pub(crate) fn rfc3339_micros(then: u64) -> String {
    let whole = rfc3339(then);
    format!("{}.{:06}Z", whole.trim_end_matches('Z'), then % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_732_500_000, "2024-11-25T02:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds * 1_000_000), date);
        }
    }

    #[test]
    fn durations_read_as_dockers_do() {
        let ago = |seconds: u64| since(now() - seconds * 1_000_000);
        assert_eq!(ago(5), "5 seconds");
        assert_eq!(ago(61), "About a minute");
        assert_eq!(ago(3601), "About an hour");
        assert_eq!(ago(86_400 * 3), "3 days");
    }
}
