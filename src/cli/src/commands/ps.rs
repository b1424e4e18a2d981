//! `ps`: the boxes there are.

use crate::table::Fit;
use crate::template::{self, Format};
use crate::{box_row, stream};
use a3s_box_core::Result;
use a3s_box_runtime::{BoxFilter, Engine};
use clap::Args;

const USUAL: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.VMM}}\t{{.Names}}";
/// All fields, so that an empty table has its columns, too.
const HEADS: &[(&str, &str)] = &[
    ("ID", "BOX ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Health", "HEALTH"),
    ("Ports", "PORTS"),
    ("VMM", "VMM"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Networks", "NETWORKS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Size", "SIZE"),
];

#[derive(Args)]
pub(crate) struct Ps {
    /// Show the boxes that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Show only some: id, name, label, status, exited, ancestor, before, since, health, network, publish, expose,
    /// restart or until, as KEY=VALUE
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<BoxFilter>,
    /// Show the N boxes that were created last, whatever they do
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Show the box that was created last, whatever it does
    #[arg(short, long)]
    latest: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Show what boxes take up on the disk
    #[arg(short, long)]
    size: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// `table`, `json`, a template such as '{{.ID}} {{.Names}}', or `table` and the template of its columns
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

impl Ps {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut boxes = engine.ps(&self.filter)?;
        let last = if self.latest { Some(1) } else { self.last };
        // Who asks for a state asks for it among all.
        let by_state = self.filter.iter().any(|filter| ["status", "exited"].contains(&filter.key()));
        match last {
            Some(count) => boxes.truncate(count),
            None => boxes.retain(|view| self.all || by_state || view.state.is_live()),
        }
        let sized = self.size || self.format.mentions("Size");
        if self.quiet {
            return boxes
                .iter()
                .try_for_each(|view| {
                    let id = &view.record.id;
                    stream::line(if self.no_trunc { id.as_str() } else { id.short() })
                })
                .map(|()| 0);
        }
        let rows = boxes
            .iter()
            .map(|view| {
                let size = if sized { Some(engine.size(&view.record)?) } else { None };
                Ok(box_row::ps(view, size, self.no_trunc))
            })
            .collect::<Result<Vec<_>>>()?;
        let usual = if self.size { &format!("{USUAL}\t{{{{.Size}}}}") } else { USUAL };
        let fit = Fit::unless(self.no_trunc);
        template::print(&self.format, usual, HEADS, &rows, fit)?;
        Ok(0)
    }
}
