//! `volume create|ls|inspect|rm|prune`: disks with names, which outlive the boxes that they are mounted in.

use super::for_each;
use crate::table::Fit;
use crate::template::{self, Format};
use crate::{stream, time};
use a3s_box_core::{BoxError, Bytes, ErrorKind, Result, VolumeName};
use a3s_box_runtime::{Engine, VolumeView};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const USUAL: &str = "{{.Driver}}\t{{.Name}}\t{{.Size}}\t{{.Used}}\t{{.Boxes}}";
const HEADS: &[(&str, &str)] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Size", "SIZE"),
    ("Used", "USED"),
    ("Boxes", "BOXES"),
    ("Labels", "LABELS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Scope", "SCOPE"),
    ("CreatedAt", "CREATED AT"),
];

#[derive(Args)]
pub(crate) struct Volume {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a volume, unless it is there already
    Create {
        /// What keeps it; there is only one
        #[arg(short, long, value_name = "DRIVER", value_parser = ["local"], default_value = "local")]
        driver: String,
        /// `size=SIZE` says how much fits; 10g when absent. Space is taken as it is written
        #[arg(short, long, value_name = "NAME=VALUE")]
        opt: Vec<String>,
        /// Label the volume
        #[arg(long, value_name = "KEY[=VALUE]")]
        label: Vec<String>,
        /// Name of the volume
        #[arg(value_name = "VOLUME")]
        name: VolumeName,
    },
    /// List volumes
    Ls {
        /// Print names alone
        #[arg(short, long)]
        quiet: bool,
        /// `table`, `json`, a template such as '{{.Name}}', or `table` and the template of its columns
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
    /// Show everything known about volumes, as JSON
    Inspect {
        /// Volumes, by name
        #[arg(required = true, value_name = "VOLUME")]
        names: Vec<VolumeName>,
    },
    /// Remove volumes that no box has
    Rm {
        /// Volumes, by name
        #[arg(required = true, value_name = "VOLUME")]
        names: Vec<String>,
    },
    /// Remove all volumes that no box has
    Prune {
        /// Those with names, too; there are no others
        #[arg(short, long)]
        all: bool,
        /// As Docker's; nothing is asked in any case
        #[arg(short, long)]
        force: bool,
    },
}

impl Volume {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        match self.what {
            What::Create { driver: _, opt, label, name } => {
                engine.create_volume(&name, size(&opt)?, labels(&label))?;
                stream::line(name.as_str()).map(|()| 0)
            }
            What::Ls { quiet, format } => list(engine, quiet, &format),
            What::Inspect { names } => inspect(engine, &names),
            What::Rm { names } => for_each(&names, async |name| engine.remove_volume(&name.parse()?)).await,
            What::Prune { all: false, force: _ } => {
                Err(BoxError::new(ErrorKind::InvalidInput, "all volumes here have names")
                    .with_hint("remove those that no box has with `a3s-box volume prune --all`"))
            }
            What::Prune { all: true, force: _ } => prune(engine),
        }
    }
}

fn size(options: &[String]) -> Result<Option<Bytes>> {
    let mut size = None;
    for option in options {
        match option.split_once('=') {
            Some(("size", value)) => size = Some(value.parse()?),
            _ => {
                return Err(BoxError::new(
                    ErrorKind::Unsupported,
                    format!("unknown option {option:?} of a volume"),
                )
                .with_hint("the one there is: size=SIZE"));
            }
        }
    }
    Ok(size)
}

fn labels(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

fn list(engine: &Engine, quiet: bool, format: &Format) -> Result<u8> {
    let volumes = engine.volumes()?;
    if quiet {
        volumes.iter().try_for_each(|volume| stream::line(volume.name.as_str()))?;
        return Ok(0);
    }
    let row = |volume: VolumeView| -> Value {
        let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({"Driver": volume.driver, "Name": volume.name.as_str(), "Size": volume.size.to_string(),
            "Used": Bytes(volume.used).to_string(), "Boxes": volume.boxes.len().to_string(),
            "Labels": labels.join(","), "Mountpoint": volume.mountpoint, "Scope": "local",
            "CreatedAt": time::rfc3339(volume.created_at)})
    };
    let rows: Vec<Value> = volumes.into_iter().map(row).collect();
    template::print(format, USUAL, HEADS, &rows, Fit::Terminal)?;
    Ok(0)
}

fn inspect(engine: &Engine, names: &[VolumeName]) -> Result<u8> {
    let views = names.iter().map(|name| engine.inspect_volume(name)).collect::<Result<Vec<_>>>()?;
    let json = serde_json::to_string_pretty(&views).map_err(|e| BoxError::io("cannot print", e.into()))?;
    stream::line(&json)?;
    Ok(0)
}

fn prune(engine: &Engine) -> Result<u8> {
    let removed = engine.prune_volumes()?;
    let freed = removed.iter().map(|volume| volume.used).sum();
    removed.iter().try_for_each(|volume| stream::line(volume.name.as_str()))?;
    stream::line(&format!("Total reclaimed space: {}", Bytes(freed)))?;
    Ok(0)
}
