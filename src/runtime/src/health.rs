//! A box's health check: what the user says, over what the image says, over Docker's defaults.

use a3s_box_core::{HealthCheck, HealthConfig, Span};
use a3s_box_image::Healthcheck;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// The health check of a box; none where neither image nor user names a command.
pub(crate) fn check(config: &HealthConfig, image: Option<&Healthcheck>) -> Option<HealthCheck> {
    let unsaid = Healthcheck::default();
    let image = image.unwrap_or(&unsaid);
    let args = match &config.command {
        _ if config.none => return None,
        Some(line) => shell(line),
        None => args(&image.test)?,
    };
    // Zero is how an image says that it says nothing.
    let of = |said: Option<Span>, nanos: u64, default: Duration| {
        said.unwrap_or(Span(if nanos == 0 {
            default
        } else {
            Duration::from_nanos(nanos).max(Duration::from_millis(1))
        }))
    };
    Some(HealthCheck {
        args,
        interval: of(config.interval, image.interval, INTERVAL),
        timeout: of(config.timeout, image.timeout, TIMEOUT),
        start_period: of(config.start_period, image.start_period, Duration::ZERO),
        start_interval: of(config.start_interval, image.start_interval, START_INTERVAL),
        retries: config.retries.or((image.retries > 0).then_some(image.retries)).unwrap_or(RETRIES),
    })
}

/// What an image's `Test` runs (the Docker engine's API, `HealthConfig`).
fn args(test: &[String]) -> Option<Vec<String>> {
    match test {
        [kind, line] if kind == "CMD-SHELL" => Some(shell(line)),
        [kind, args @ ..] if kind == "CMD" && !args.is_empty() => Some(args.to_vec()),
        _ => None,
    }
}

fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(test: &[&str]) -> Healthcheck {
        let test = test.iter().map(|word| (*word).to_owned()).collect();
        Healthcheck { test, interval: 5_000_000_000, retries: 7, ..Healthcheck::default() }
    }

    #[test]
    fn the_user_goes_over_the_image_and_the_image_over_the_defaults() {
        let nothing = HealthConfig::default();
        let of_image = check(&nothing, Some(&image(&["CMD", "probe", "-x"]))).unwrap();
        assert_eq!(of_image.args, ["probe", "-x"]);
        assert_eq!((of_image.interval.0, of_image.timeout.0), (Duration::from_secs(5), TIMEOUT));
        assert_eq!(of_image.retries, 7);
        let user = HealthConfig { command: Some("true".into()), retries: Some(1), ..nothing.clone() };
        let of_user = check(&user, Some(&image(&["CMD", "probe"]))).unwrap();
        assert_eq!(of_user.args, ["/bin/sh", "-c", "true"]);
        assert_eq!((of_user.interval.0, of_user.retries), (Duration::from_secs(5), 1));
    }

    #[test]
    fn there_may_be_none() {
        let nothing = HealthConfig::default();
        assert_eq!(check(&nothing, None), None);
        for none in [&["NONE"][..], &[], &["CMD"], &["CMD-SHELL"], &["SHELL", "x"]] {
            assert_eq!(check(&nothing, Some(&image(none))), None);
        }
        let none = HealthConfig { none: true, ..nothing };
        assert_eq!(check(&none, Some(&image(&["CMD", "probe"]))), None);
    }
}
