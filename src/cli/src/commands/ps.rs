//! `ps`: the boxes there are.

use crate::{stream, table, time};
use a3s_box_core::{BoxError, BoxState, Result};
use a3s_box_runtime::{BoxView, Engine};
use clap::Args;

#[derive(Args)]
pub(crate) struct Ps {
    /// Show the boxes that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// `json` prints a JSON object a box
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "table"], default_value = "table")]
    format: String,
}

impl Ps {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut boxes = engine.ps()?;
        boxes.retain(|view| self.all || view.state.is_live());
        if self.format == "json" {
            for view in &boxes {
                let json = serde_json::to_string(view).map_err(|e| BoxError::io("cannot print", e.into()))?;
                stream::line(&json)?;
            }
            return Ok(0);
        }
        let id = |view: &BoxView| {
            let record = &view.record;
            if self.no_trunc { record.id.to_string() } else { record.id.short().to_owned() }
        };
        if self.quiet {
            for view in &boxes {
                stream::line(&id(view))?;
            }
            return Ok(0);
        }
        let rows: Vec<Vec<String>> = boxes
            .iter()
            .map(|view| {
                let record = &view.record;
                vec![
                    id(view),
                    record.config.image.clone(),
                    format!(
                        "\"{}\"",
                        table::shorten(
                            &record.process.args.join(" "),
                            if self.no_trunc { usize::MAX } else { 20 }
                        )
                    ),
                    format!("{} ago", time::since(record.created_at)),
                    status(view),
                    ports(view),
                    format!("{}/{}", record.vmm, record.accel),
                    record.name.to_string(),
                ]
            })
            .collect();
        table::print(&["BOX ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "VMM", "NAMES"], &rows)
            .map_err(|e| BoxError::io("cannot print", e))?;
        Ok(0)
    }
}

/// Where the box is reached from outside, as Docker writes it.
fn ports(view: &BoxView) -> String {
    let each = view.ports.iter().map(|port| format!("{}->{}/{}", port.host, port.guest, port.transport));
    each.collect::<Vec<_>>().join(", ")
}

/// What the box does, in Docker's words.
fn status(view: &BoxView) -> String {
    let run = view.run.as_ref();
    let exit = run.and_then(|run| run.exit.as_ref());
    let ago = |at: u64| if at == 0 { String::new() } else { format!(" {} ago", time::since(at)) };
    match (view.state, exit) {
        (BoxState::Created, _) => "Created".into(),
        (BoxState::Starting, _) => "Starting".into(),
        (BoxState::Running, _) => {
            let since = time::since(run.and_then(|r| r.started_at).unwrap_or_default());
            let health = run.and_then(|r| r.health.as_ref());
            format!("Up {since}{}", health.map(|health| format!(" ({})", health.state)).unwrap_or_default())
        }
        (BoxState::Stopped, Some(exit)) => format!("Exited ({}){}", exit.code, ago(exit.at)),
        (BoxState::Failed, Some(exit)) => format!("Failed ({}){}", exit.code, ago(exit.at)),
        (state, None) => state.to_string(),
    }
}
