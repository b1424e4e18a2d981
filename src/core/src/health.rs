//! Health checks: whether what a box runs is well, by a command that runs beside it from time to time (the Docker
//! manual, `HEALTHCHECK`).

use crate::{BoxError, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The checks whose results are kept.
pub const KEPT_PROBES: usize = 5;
/// The bytes of a check's output that are kept.
pub const KEPT_OUTPUT: usize = 4096;

/// A length of time as Docker and Go write it: `1m30s`, `500ms`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid duration {text:?}"))
                .with_hint("write for instance 30s, 1m30s or 500ms")
        };
        let mut total: u64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = rest.split_at(digits);
            let unit_length = unit.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, left) = unit.split_at(unit_length);
            let each: u64 = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(invalid()),
            };
            let number: u64 = number.parse().map_err(|_| invalid())?;
            let part = number.checked_mul(each).ok_or_else(invalid)?;
            total = total.checked_add(part).filter(|ms| *ms <= 1 << 40).ok_or_else(invalid)?;
            rest = left;
        }
        if text.is_empty() { Err(invalid()) } else { Ok(Self(Duration::from_millis(total))) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0 => write!(f, "0s"),
            _ if !ms.is_multiple_of(1000) => write!(f, "{ms}ms"),
            _ => {
                let (minutes, seconds) = (ms / 60_000, ms / 1000 % 60);
                if minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                if seconds > 0 { write!(f, "{seconds}s") } else { Ok(()) }
            }
        }
    }
}

impl TryFrom<String> for Span {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// What a user says of a box's health check, over what its image says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// Whether there is to be none.
    pub none: bool,
    /// A line for the box's shell, in place of the image's command.
    pub command: Option<String>,
    /// Between the end of a check and the next.
    pub interval: Option<Span>,
    /// Until a check has failed.
    pub timeout: Option<Span>,
    /// After the start, while failures do not count.
    pub start_period: Option<Span>,
    /// Between checks during the start period.
    pub start_interval: Option<Span>,
    /// Failures in a row that make a box unhealthy.
    pub retries: Option<u32>,
}

impl HealthConfig {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn validate(&self) -> Result<()> {
        let refuse =
            |what: &str| Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid health check: {what}")));
        if self.none && *self != (Self { none: true, ..Self::default() }) {
            return refuse("there is to be none, and it is described");
        }
        if self.command.as_ref().is_some_and(|line| line.contains('\0')) {
            return refuse("its command holds a NUL byte");
        }
        let short = |span: Option<Span>| span.is_some_and(|span| span.0 < Duration::from_millis(1));
        if short(self.interval) || short(self.timeout) || short(self.start_interval) {
            return refuse("its interval and timeout must be at least 1ms");
        }
        if self.retries == Some(0) {
            return refuse("it needs at least one try");
        }
        Ok(())
    }
}

/// A health check with everything decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Between the end of a check and the next.
    pub interval: Span,
    /// Until a check has failed.
    pub timeout: Span,
    /// After the start, while failures do not count.
    pub start_period: Span,
    /// Between checks during the start period.
    pub start_interval: Span,
    /// Failures in a row that make a box unhealthy.
    pub retries: u32,
}

/// How a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Not known yet.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// As many checks in a row failed as may.
    Unhealthy,
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "health: starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// When it began, in microseconds since the UNIX epoch.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// The command's exit code; -1 where it did not end in time or could not be started.
    pub exit_code: i32,
    /// What it wrote first, or why there is no exit code.
    pub output: String,
}

/// What the checks of one run have shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxHealth {
    /// How the box is.
    pub state: HealthState,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last checks, the oldest first.
    pub log: Vec<Probe>,
}

impl BoxHealth {
    /// Nothing has been checked yet.
    pub fn begin() -> Self {
        Self { state: HealthState::Starting, failing_streak: 0, log: Vec::new() }
    }

    /// Takes note of a check. Failures of a box that is still `starting_up` do not count until one succeeded.
    pub fn note(&mut self, probe: Probe, check: &HealthCheck, starting_up: bool) {
        if probe.exit_code == 0 {
            self.state = HealthState::Healthy;
            self.failing_streak = 0;
        } else if !(starting_up && self.state == HealthState::Starting) {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.state = HealthState::Unhealthy;
            }
        }
        self.log.push(probe);
        let extra = self.log.len().saturating_sub(KEPT_PROBES);
        self.log.drain(..extra);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Span {
        text.parse().unwrap()
    }

    #[test]
    fn durations_are_written_as_docker_writes_them() {
        assert_eq!(span("1m30s").0, Duration::from_secs(90));
        assert_eq!(span("500ms").0, Duration::from_millis(500));
        assert_eq!(span("2h").0, Duration::from_secs(7200));
        for (text, shown) in
            [("90s", "1m30s"), ("1500ms", "1500ms"), ("0s", "0s"), ("1h", "60m"), ("5s", "5s")]
        {
            assert_eq!(span(text).to_string(), shown);
            assert_eq!(span(&span(text).to_string()), span(text));
        }
        for bad in ["", "5", "s", "-1s", "1.5s", "5 s", "5S", "9999999999999999999s", "99999999999999h", "1d"]
        {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn failures_count_in_a_row_and_after_the_start() {
        let check = HealthCheck {
            args: vec!["true".into()],
            interval: span("1s"),
            timeout: span("1s"),
            start_period: span("1s"),
            start_interval: span("1s"),
            retries: 2,
        };
        let probe = |exit_code| Probe { start: 0, end: 0, exit_code, output: String::new() };
        let mut health = BoxHealth::begin();
        let mut after = |exit_code, starting_up| {
            health.note(probe(exit_code), &check, starting_up);
            (health.state, health.failing_streak, health.log.len())
        };
        assert_eq!(after(1, true), (HealthState::Starting, 0, 1));
        assert_eq!(after(1, true), (HealthState::Starting, 0, 2));
        assert_eq!(after(1, false), (HealthState::Starting, 1, 3));
        assert_eq!(after(-1, false), (HealthState::Unhealthy, 2, 4));
        assert_eq!(after(0, false), (HealthState::Healthy, 0, 5));
        assert_eq!(after(1, true), (HealthState::Healthy, 1, 5));
    }

    #[test]
    fn a_check_that_makes_no_sense_is_refused() {
        let good =
            HealthConfig { command: Some("true".into()), interval: Some(span("1s")), ..Default::default() };
        good.validate().unwrap();
        for bad in [
            HealthConfig { none: true, ..good.clone() },
            HealthConfig { command: Some("a\0".into()), ..good.clone() },
            HealthConfig { interval: Some(span("0s")), ..good.clone() },
            HealthConfig { retries: Some(0), ..good },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
