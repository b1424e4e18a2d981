//! `network create|ls|inspect|rm|connect|disconnect`: the networks on which boxes meet.

use super::for_each;
use crate::table::Fit;
use crate::template::{self, Format};
use crate::{stream, time};
use a3s_box_core::{BoxError, NetworkName, Result};
use a3s_box_runtime::Engine;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const USUAL: &str = "{{.Name}}\t{{.IPv4}}\t{{.IPv6}}\t{{.Boxes}}\t{{.RunningFor}}";
const HEADS: &[(&str, &str)] = &[
    ("Name", "NETWORK"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Boxes", "BOXES"),
    ("RunningFor", "CREATED"),
    ("CreatedAt", "CREATED AT"),
];

#[derive(Args)]
pub(crate) struct Network {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a network
    Create {
        /// Name of the network
        #[arg(value_name = "NETWORK")]
        name: NetworkName,
    },
    /// List networks
    Ls {
        /// Print names alone
        #[arg(short, long)]
        quiet: bool,
        /// Do not shorten names
        #[arg(long)]
        no_trunc: bool,
        /// `table`, `json`, a template such as '{{.Name}}', or `table` and the template of its columns
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
    /// Show everything known about networks, as JSON
    Inspect {
        /// Networks, by name
        #[arg(required = true, value_name = "NETWORK")]
        names: Vec<NetworkName>,
    },
    /// Remove networks
    Rm {
        /// Networks, by name
        #[arg(required = true, value_name = "NETWORK")]
        names: Vec<String>,
    },
    /// Put a box that does not run on a network
    Connect {
        /// Network, by name
        #[arg(value_name = "NETWORK")]
        network: NetworkName,
        /// Box, by name or id
        #[arg(value_name = "BOX")]
        name: String,
    },
    /// Take a box that does not run off a network
    Disconnect {
        /// Network, by name
        #[arg(value_name = "NETWORK")]
        network: NetworkName,
        /// Box, by name or id
        #[arg(value_name = "BOX")]
        name: String,
    },
}

impl Network {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        match self.what {
            What::Create { name } => {
                engine.create_network(&name)?;
                stream::line(name.as_str()).map(|()| 0)
            }
            What::Ls { quiet, no_trunc, format } => list(engine, quiet, Fit::unless(no_trunc), &format),
            What::Inspect { names } => inspect(engine, &names),
            What::Rm { names } => for_each(&names, async |name| engine.remove_network(&name.parse()?)).await,
            What::Connect { network, name } => engine.connect_network(&network, &name).map(|()| 0),
            What::Disconnect { network, name } => engine.disconnect_network(&network, &name).map(|()| 0),
        }
    }
}

fn list(engine: &Engine, quiet: bool, fit: Fit, format: &Format) -> Result<u8> {
    let networks = engine.networks()?;
    if quiet {
        networks.iter().try_for_each(|network| stream::line(network.name.as_str()))?;
        return Ok(0);
    }
    let rows: Vec<Value> = networks
        .into_iter()
        .map(|network| {
            json!({"Name": network.name.as_str(), "IPv4": network.subnet4, "IPv6": network.subnet6,
                "Boxes": network.boxes.len().to_string(), "CreatedAt": time::rfc3339(network.created_at),
                "RunningFor": format!("{} ago", time::since(network.created_at))})
        })
        .collect();
    template::print(format, USUAL, HEADS, &rows, fit)?;
    Ok(0)
}

fn inspect(engine: &Engine, names: &[NetworkName]) -> Result<u8> {
    let views = names.iter().map(|name| engine.inspect_network(name)).collect::<Result<Vec<_>>>()?;
    let json = serde_json::to_string_pretty(&views).map_err(|e| BoxError::io("cannot print", e.into()))?;
    stream::line(&json)?;
    Ok(0)
}
