//! `jobs`: what was left running in boxes.

use crate::table::Fit;
use crate::{stream, table, time};
use a3s_box_core::{BoxError, Result};
use a3s_box_runtime::{Engine, JobView};
use clap::{Args, ValueEnum};

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Args)]
pub(crate) struct Jobs {
    /// Print names alone
    #[arg(short, long)]
    quiet: bool,
    /// `json` prints a JSON object a job
    #[arg(long, value_enum, default_value = "table", hide_possible_values = true, value_name = "FORMAT")]
    format: Format,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Jobs {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut jobs = Vec::new();
        for name in &self.boxes {
            jobs.extend(engine.jobs(name)?);
        }
        match self.format {
            _ if self.quiet => jobs.iter().try_for_each(|job| stream::line(&job.job))?,
            Format::Json => {
                for job in &jobs {
                    let json =
                        serde_json::to_string(job).map_err(|e| BoxError::io("cannot print", e.into()))?;
                    stream::line(&json)?;
                }
            }
            Format::Table => {
                let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
                table::print(&["JOB", "BOX", "COMMAND", "STARTED", "STATUS"], &rows, Fit::Terminal)
                    .map_err(|e| BoxError::io("cannot print", e))?;
            }
        }
        Ok(0)
    }
}

fn row(job: &JobView) -> Vec<String> {
    let status = match &job.record.exit {
        None => "Running".to_owned(),
        Some(exit) => format!("Exited ({}) {} ago", exit.code, time::since(exit.at)),
    };
    vec![
        job.job.clone(),
        job.of.to_string(),
        table::shorten(&job.record.args.join(" "), 40),
        format!("{} ago", time::since(job.record.started_at)),
        status,
    ]
}
