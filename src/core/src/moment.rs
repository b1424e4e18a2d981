//! Points in time as Docker's options take them: a date, seconds since the UNIX epoch, or how long ago.

use crate::{BoxError, ErrorKind, Result, Span};

const MICROS: u64 = 1_000_000;
const DAY: u64 = 86_400;

/// The microseconds since the UNIX epoch that `text` means, where it is `now`: `2026-11-25T09:30:00Z`, with a
/// fraction or an offset or without a time, in UTC where it says nothing else; `1764063000.5`; `10m`, that long ago.
///
/// # Errors
/// `InvalidInput`.
pub fn parse_moment(text: &str, now: u64) -> Result<u64> {
    let invalid = || {
        BoxError::new(ErrorKind::InvalidInput, format!("invalid point in time {text:?}")).with_hint(
            "write a date such as 2026-11-25T09:30:00Z, seconds since 1970, or how long ago, such as 10m",
        )
    };
    if text.contains('-') && !text.starts_with('-') {
        return date(text).ok_or_else(invalid);
    }
    if let Some(micros) = seconds(text) {
        return Ok(micros);
    }
    let ago: Span = text.parse().map_err(|_| invalid())?;
    Ok(now.saturating_sub(u64::try_from(ago.0.as_micros()).unwrap_or(u64::MAX)))
}

/// `12` or `12.345`.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(MICROS)?.checked_add(micros)
}

/// RFC 3339, of which all but the date may be left out.
fn date(text: &str) -> Option<u64> {
    let (day, time) = text.split_once(['T', ' ']).map_or((text, None), |(day, time)| (day, Some(time)));
    let mut parts = day.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some()
        || year < 1970
        || !(1..=12).contains(&month)
        || day < 1
        || day > length(year, month)
    {
        return None;
    }
    let days = (1970..year).map(|y| 365 + u64::from(is_leap(y))).sum::<u64>()
        + (1..month).map(|m| length(year, m)).sum::<u64>()
        + (day - 1);
    let micros = days.checked_mul(DAY * MICROS)?;
    let Some(time) = time else { return Some(micros) };
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| number(second, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = micros + seconds(&format!("{}.{fraction}", hour * 3600 + minute * 60 + second))?;
    match offset.split_at(1) {
        ("Z" | "z", "") => Some(micros),
        (sign @ ("+" | "-"), offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let east = (number(hours, 2)? * 3600 + number(minutes, 2)? * 60) * MICROS;
            if sign == "+" { micros.checked_sub(east) } else { micros.checked_add(east) }
        }
        _ => None,
    }
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let whole = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| text.parse().ok())?
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn length(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_docker_takes_them() {
        let now = 1_000_000 * MICROS;
        for (text, micros) in [
            ("0", 0),
            ("1732500000", 1_732_500_000 * MICROS),
            ("12.5", 12_500_000),
            ("12.1234567891", 12_123_456),
            ("10m", now - 600 * MICROS),
            ("99999h", 0),
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400 * MICROS),
            ("2024-11-25T02:00:00Z", 1_732_500_000 * MICROS),
            ("2024-11-25T02:00:00", 1_732_500_000 * MICROS),
            ("2024-11-25T02:00", 1_732_500_000 * MICROS),
            ("2024-11-25 03:30:00.25+01:30", 1_732_500_000 * MICROS + 250_000),
            ("2024-11-24T20:00:00-06:00", 1_732_500_000 * MICROS),
        ] {
            assert_eq!(parse_moment(text, now).unwrap(), micros, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "-",
            "-5",
            "now",
            "5x",
            "1.",
            ".5",
            "2024-13-01",
            "2024-02-30",
            "1969-12-31",
            "2024-1-1",
            "2024-11-25T",
            "2024-11-25T25:00:00Z",
            "2024-11-25T02:00:00Zx",
            "2024-11-25T02:00:00+1",
            "99999999999999999999",
            "2024-11-25T02:00:00+99:99x",
            "2024-11-25-01",
        ] {
            assert!(parse_moment(text, 5).is_err(), "{text}");
        }
    }
}
