//! The options that say how to see whether a box is well.

use a3s_box_core::{HealthConfig, Span};
use clap::Args;

#[derive(Args, Clone)]
#[command(next_help_heading = "Health check")]
pub(crate) struct HealthArgs {
    /// Line for the box's shell that succeeds while the box is well
    #[arg(long, value_name = "LINE")]
    health_cmd: Option<String>,
    /// Time between two checks; what the image asks for when absent, else 30s
    #[arg(long, value_name = "TIME")]
    health_interval: Option<Span>,
    /// Time after which a check has failed; what the image asks for when absent, else 30s
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<Span>,
    /// Time after the start while failures do not count; what the image asks for when absent, else 0s
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<Span>,
    /// Time between two checks until then; what the image asks for when absent, else 5s
    #[arg(long, value_name = "TIME")]
    health_start_interval: Option<Span>,
    /// Failures in a row that make the box unhealthy; what the image asks for when absent, else 3
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,
    /// No health check, whatever the image says
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthArgs {
    /// What was asked for, over `defaults`.
    pub(crate) fn config(self, defaults: HealthConfig) -> HealthConfig {
        let defaults = if self.no_healthcheck { HealthConfig::default() } else { defaults };
        HealthConfig {
            none: self.no_healthcheck,
            command: self.health_cmd.or(defaults.command),
            interval: self.health_interval.or(defaults.interval),
            timeout: self.health_timeout.or(defaults.timeout),
            start_period: self.health_start_period.or(defaults.start_period),
            start_interval: self.health_start_interval.or(defaults.start_interval),
            retries: self.health_retries.or(defaults.retries),
        }
    }
}
