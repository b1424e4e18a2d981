//! `stats`: what boxes use, again and again.

use crate::table::Fit;
use crate::{console, stream, table};
use a3s_box_core::{BoxError, BoxState, Result};
use a3s_box_runtime::{BoxStats, Engine};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::time::Duration;

/// Between two looks, of which the difference is shown.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Args)]
pub(crate) struct Stats {
    /// Look only once
    #[arg(long)]
    no_stream: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// `json` prints a JSON object a box
    #[arg(long, value_enum, default_value = "table", hide_possible_values = true, value_name = "FORMAT")]
    format: Format,
    /// Running boxes, by name or id; all of them when absent
    #[arg(value_name = "BOX")]
    boxes: Vec<String>,
}

impl Stats {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let mut last = self.look(engine).await?;
        loop {
            tokio::time::sleep(PAUSE).await;
            let now = self.look(engine).await?;
            self.show(&last, &now)?;
            if self.no_stream {
                return Ok(0);
            }
            last = now;
        }
    }

    async fn look(&self, engine: &Engine) -> Result<Vec<BoxStats>> {
        let mut all = Vec::new();
        if !self.boxes.is_empty() {
            for name in &self.boxes {
                all.push(engine.stats(name).await?);
            }
            return Ok(all);
        }
        for view in engine.ps(&[])?.into_iter().filter(|view| view.state == BoxState::Running) {
            // One that ends meanwhile, or is just coming up, is not there yet or any more.
            all.extend(engine.stats(view.record.id.as_str()).await.ok());
        }
        Ok(all)
    }

    fn show(&self, last: &[BoxStats], now: &[BoxStats]) -> Result<()> {
        let cpu = |stats: &BoxStats| {
            let before = last.iter().find(|before| before.id == stats.id);
            before.map_or(0.0, |before| percent(stats, before))
        };
        if let Format::Json = self.format {
            return now.iter().try_for_each(|stats| {
                let mut json = json!(stats);
                json["cpu_percent"] = json!(cpu(stats));
                stream::line(&json.to_string())
            });
        }
        let row = |stats: &BoxStats| {
            let share = 100.0 * ratio(stats.memory, stats.memory_limit);
            vec![
                if self.no_trunc { stats.id.to_string() } else { stats.id.short().to_owned() },
                stats.name.to_string(),
                format!("{:.2}%", cpu(stats)),
                format!("{} / {}", amount(stats.memory), amount(stats.memory_limit)),
                format!("{share:.2}%"),
                format!("{} / {}", amount(stats.network_in), amount(stats.network_out)),
                format!("{} / {}", amount(stats.disk_read), amount(stats.disk_written)),
                stats.pids.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = now.iter().map(row).collect();
        let head = ["BOX ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];
        if !self.no_stream && console::stdout_is_terminal() {
            // To the top, and nothing stays of the last look.
            stream::write(stream::Target::Stdout, b"\x1b[H\x1b[J")?;
        }
        let fit = Fit::unless(self.no_trunc);
        table::print(&head, &rows, fit).map_err(|e| BoxError::io("cannot print", e))
    }
}

/// Processor time as a share of the time that has passed, in percent: 200 is two vCPUs.
fn percent(now: &BoxStats, before: &BoxStats) -> f64 {
    100.0 * ratio(now.cpu_us.saturating_sub(before.cpu_us), now.at_us.saturating_sub(before.at_us))
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// A number of bytes with three or four digits.
#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn amount(bytes: u64) -> String {
    let mut figure = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if figure < 1000.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{figure:.1}{unit}") };
        }
        figure /= 1024.0;
    }
    format!("{figure:.1}TiB")
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_are_short() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0KiB"),
            (1536, "1.5KiB"),
            (5 << 20, "5.0MiB"),
            (1 << 40, "1.0TiB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }
}
