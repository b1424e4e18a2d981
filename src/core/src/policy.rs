//! What becomes of a box when its run ends, and when a run has to end: restart policies and limits of time.

use crate::{BoxError, ErrorKind, ExitReason, Result, RunExit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The pause before the first start again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run that lasted this long counts as one that went well.
const LASTED: Duration = Duration::from_secs(10);

/// Whether a box is started again when its run has ended, in Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After a run that failed, at most so many times where a number is given.
    OnFailure(Option<u32>),
    /// Always, unless somebody ended it, and in any case when the host has started.
    Always,
    /// Always, unless somebody ended it.
    UnlessStopped,
}

impl RestartPolicy {
    /// Whether a box whose run ended so is started again at once, having been started again `restarts` times.
    pub fn wants(self, exit: &RunExit, restarts: u32) -> bool {
        !exit.reason.was_asked_for()
            && match self {
                Self::No => false,
                Self::Always | Self::UnlessStopped => true,
                Self::OnFailure(most) => exit.code != 0 && most.is_none_or(|most| restarts < most),
            }
    }

    /// Whether a box is started when its host has started. `exit` is the end of its last run, where it is known.
    pub fn wants_at_boot(self, exit: Option<&RunExit>, restarts: u32) -> bool {
        let by_user = exit.is_some_and(|exit| exit.reason.was_asked_for_by_user());
        match self {
            Self::No => false,
            Self::Always => true,
            Self::UnlessStopped => !by_user,
            Self::OnFailure(most) => {
                !by_user && exit.is_none_or(|exit| exit.code != 0) && most.is_none_or(|most| restarts < most)
            }
        }
    }

    /// Its name, without the number.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid restart policy {text:?}"))
                .with_hint("choose one of: no on-failure on-failure:N always unless-stopped")
        };
        match text.split_once(':') {
            Some(("on-failure", most)) => {
                most.parse().map(|n| Self::OnFailure((n > 0).then_some(n))).map_err(|_| invalid())
            }
            Some(_) => Err(invalid()),
            None => match text {
                "no" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(None)),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err(invalid()),
            },
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::OnFailure(Some(most)) => write!(f, ":{most}"),
            _ => Ok(()),
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> Self {
        policy.to_string()
    }
}

/// What the shim holds a run to. It may change while the box runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunPolicy {
    /// What follows the end of a run.
    pub restart: RestartPolicy,
    /// Seconds after which the box is stopped, all its runs since it was started together.
    pub timeout: Option<u32>,
    /// Seconds without exec, attach, output or input after which it is stopped.
    pub idle_timeout: Option<u32>,
}

impl RunPolicy {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn validate(&self) -> Result<()> {
        for (name, limit) in [("timeout", self.timeout), ("idle timeout", self.idle_timeout)] {
            if limit == Some(0) {
                return Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid {name} 0"))
                    .with_hint("give it at least one second, or leave it out for none"));
            }
        }
        Ok(())
    }
}

/// The pauses between runs of a box that keeps ending: longer and longer, until a run lasts.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackOff(Option<Duration>);

impl BackOff {
    /// The pause after a run that lasted so long.
    pub fn after(&mut self, run: Duration) -> Duration {
        let pause = match self.0 {
            Some(last) if run < LASTED => (last * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.0 = Some(pause);
        pause
    }
}

impl ExitReason {
    /// Whether the run ended because somebody wanted it to, so that it is not to begin again by itself.
    pub fn was_asked_for(self) -> bool {
        self.was_asked_for_by_user() || self == Self::HostStopped
    }

    /// As [`ExitReason::was_asked_for`], and not for the host's sake.
    pub fn was_asked_for_by_user(self) -> bool {
        matches!(self, Self::Stopped | Self::Killed | Self::Timeout | Self::IdleTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32, reason: ExitReason) -> RunExit {
        RunExit { code, reason, message: None, at: 0 }
    }

    #[test]
    fn policies_are_written_as_docker_writes_them() {
        for text in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("on-failure:0".parse::<RestartPolicy>().unwrap(), RestartPolicy::OnFailure(None));
        for bad in ["", "maybe", "always:3", "on-failure:", "on-failure:-1", "on-failure:x", "No"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_box_that_somebody_ended_stays_down() {
        use ExitReason::{
            BootFailed, Exited, HostRestarted, HostStopped, IdleTimeout, Killed, Oom, Stopped, Timeout,
        };
        let all = [RestartPolicy::OnFailure(None), RestartPolicy::Always, RestartPolicy::UnlessStopped];
        for reason in [Stopped, Killed, Timeout, IdleTimeout, HostStopped] {
            assert!(all.iter().all(|policy| !policy.wants(&exit(1, reason), 0)), "{reason:?}");
        }
        for reason in [Exited, Oom, BootFailed] {
            assert!(all.iter().all(|policy| policy.wants(&exit(1, reason), 7)), "{reason:?}");
        }
        assert!(!RestartPolicy::No.wants(&exit(1, Exited), 0));
        assert!(!RestartPolicy::OnFailure(None).wants(&exit(0, Exited), 0));
        assert!(RestartPolicy::OnFailure(Some(2)).wants(&exit(1, Exited), 1));
        assert!(!RestartPolicy::OnFailure(Some(2)).wants(&exit(1, Exited), 2));
        // When the host has started.
        let at_boot = |reason| all.map(|policy| policy.wants_at_boot(Some(&exit(1, reason)), 0));
        assert_eq!(at_boot(Stopped), [false, true, false]);
        assert_eq!(at_boot(HostStopped), [true, true, true]);
        assert_eq!(at_boot(HostRestarted), [true, true, true]);
        assert!(all.iter().all(|policy| policy.wants_at_boot(None, 0)));
        assert!(!RestartPolicy::No.wants_at_boot(None, 0));
    }

    #[test]
    fn pauses_double_until_a_run_lasts() {
        let mut back_off = BackOff::default();
        let short = Duration::from_secs(1);
        let pauses: Vec<u128> = (0..12).map(|_| back_off.after(short).as_millis()).collect();
        assert_eq!(&pauses[..4], [100, 200, 400, 800]);
        assert_eq!(&pauses[9..], [51_200, 60_000, 60_000]);
        assert_eq!(back_off.after(Duration::from_secs(10)).as_millis(), 100);
        assert_eq!(back_off.after(short).as_millis(), 200);
    }

    #[test]
    fn no_time_at_all_is_refused() {
        RunPolicy::default().validate().unwrap();
        assert!(RunPolicy { timeout: Some(0), ..RunPolicy::default() }.validate().is_err());
        assert!(RunPolicy { idle_timeout: Some(0), ..RunPolicy::default() }.validate().is_err());
    }
}
