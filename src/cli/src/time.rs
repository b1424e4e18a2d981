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

/// The point in time that a user names: a date in RFC 3339, whose end may be left out, seconds since the UNIX epoch, or
/// how long ago (`10m`, `1h30m`).
pub(crate) fn point(text: &str) -> Result<u64, String> {
    seconds(text)
        .or_else(|| ago(text).map(|ago| now().saturating_sub(ago)))
        .or_else(|| date(text))
        .ok_or_else(|| {
            "give a date such as 2026-01-02T13:23:37Z, seconds since 1970, or a time ago such as 10m"
                .to_owned()
        })
}

/// A decimal number of units of so many microseconds.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.get(..fraction.len().min(9))?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u64::try_from(fraction.parse::<u128>().ok()? * u128::from(unit) / scale).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

fn seconds(text: &str) -> Option<u64> {
    decimal(text, 1_000_000)
}

/// A duration as Go writes it.
fn ago(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit =
            rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |n| number + n);
        let length = match &rest[number..unit] {
            "us" | "µs" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        total = total.checked_add(decimal(&rest[..number], length)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// `2026-01-02[T15:04[:05[.999]]][Z|+01:00]`; in UTC where no zone is given.
fn date(text: &str) -> Option<u64> {
    let (day, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    let mut parts = day.split('-');
    let mut part = |width: usize| -> Option<u64> {
        let part = parts.next()?;
        (part.len() == width).then(|| part.parse().ok())?
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        None => (time, 0),
        Some(at) => (&time[..at], zone(&time[at..])?),
    };
    let mut parts = time.split(':').filter(|part| !part.is_empty());
    let hour: u64 = parts.next().map_or(Some(0), |part| part.parse().ok())?;
    let minute: u64 = parts.next().map_or(Some(0), |part| part.parse().ok())?;
    let micros = parts.next().map_or(Some(0), |part| decimal(part, 1_000_000))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || micros > 60_999_999 {
        return None;
    }
    // Days since the epoch; years begin in March here, so that February's end is a year's end.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let local = ((days * 24 + hour) * 60 + minute) * 60_000_000 + micros;
    local.checked_add_signed(-offset)
}

/// A zone's offset in microseconds.
fn zone(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text[1..].split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=23).contains(&hours) && (0..=59).contains(&minutes))
        .then_some(sign * (hours * 60 + minutes) * 60_000_000)
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
    fn points_in_time_are_dates_seconds_or_durations() {
        for (text, seconds) in [
            ("0", 0.0),
            ("1732500000.25", 1_732_500_000.25),
            ("2024-11-25T02:00:00Z", 1_732_500_000.0),
            ("2024-11-25T03:30:00.25+01:30", 1_732_500_000.25),
            ("2024-11-24T21:00:00-05:00", 1_732_500_000.0),
            ("2024-11-25T02:00", 1_732_500_000.0),
            ("2000-02-29", 951_782_400.0),
            ("2100-03-01", 4_107_542_400.0),
        ] {
            assert_eq!(point(text).unwrap() as f64 / 1e6, seconds, "{text}");
        }
        let ago = now() - point("1h30m0.5s").unwrap();
        assert!((5_400_400_000..5_400_900_000).contains(&ago), "{ago}");
        for bad in
            ["", "x", "10x", "m", "1.", "2024-13-01", "2024-1-1", "2024-01-01T25:00", "2024-01-01T1:1:1:1"]
        {
            assert!(point(bad).is_err(), "{bad}");
        }
        assert_eq!(rfc3339_nanos(1_732_500_000_250_000), "2024-11-25T02:00:00.250000000Z");
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
