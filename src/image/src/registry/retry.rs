//! When a request is tried again: after which answers, how often, and how long later.

use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, StatusCode};

/// The pause after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause, and the longest that a registry may ask for: a user would rather be told than wait longer.
const LONGEST: Duration = Duration::from_secs(60);

/// Tries that brought nothing, one after the other.
pub(super) struct Patience {
    failures: u32,
    tries: u32,
}

impl Patience {
    /// Patience for `tries` tries.
    pub(super) fn new(tries: u32) -> Self {
        Self { failures: 0, tries }
    }

    /// Something came: what failed before does not count any more.
    pub(super) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and waits, at least as long as the registry `asked`. Whether to try again.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> bool {
        self.failures += 1;
        if self.failures >= self.tries || asked.is_some_and(|asked| asked > LONGEST) {
            return false;
        }
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST);
        // Up to half as long again, so that those who failed together do not come back together.
        let pause = doubled + doubled.mul_f64(f64::from(clock_dust()) / 2.0 / f64::from(u16::MAX));
        std::thread::sleep(pause.max(asked.unwrap_or_default()));
        true
    }
}

/// Digits of the clock that nobody can foresee: random enough to spread retries.
fn clock_dust() -> u16 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let [_, _, high, low] = nanos.wrapping_mul(2_654_435_761).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Whether an answer of this status may be another one later.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How long an answer's `Retry-After` asks to wait (RFC 9110 section 10.2.3).
pub(super) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_may_ask_for_a_pause_in_seconds_or_until_a_date() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", value.parse().unwrap());
            asked_for(&headers)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!((90..=100).contains(&asked(&later).unwrap().as_secs()));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked_for(&HeaderMap::new()), None);
    }

    #[test]
    fn patience_ends_after_its_tries_and_at_once_if_too_much_is_asked() {
        let mut patience = Patience::new(3);
        assert!(patience.wait(None));
        patience.renew();
        assert!(patience.wait(None) && patience.wait(None));
        assert!(!patience.wait(None));
        assert!(!Patience::new(3).wait(Some(LONGEST + Duration::from_secs(1))));
    }
}
