//! `network create|ls|inspect|rm|connect|disconnect`: the networks on which boxes meet.

use super::for_each;
use crate::{stream, table, time};
use a3s_box_core::{BoxError, NetworkName, Result};
use a3s_box_runtime::Engine;
use clap::{Args, Subcommand};

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
            What::Ls { quiet } => list(engine, quiet),
            What::Inspect { names } => inspect(engine, &names),
            What::Rm { names } => for_each(&names, async |name| engine.remove_network(&name.parse()?)).await,
            What::Connect { network, name } => engine.connect_network(&network, &name).map(|()| 0),
            What::Disconnect { network, name } => engine.disconnect_network(&network, &name).map(|()| 0),
        }
    }
}

fn list(engine: &Engine, quiet: bool) -> Result<u8> {
    let networks = engine.networks()?;
    if quiet {
        networks.iter().try_for_each(|network| stream::line(network.name.as_str()))?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = networks
        .into_iter()
        .map(|network| {
            let boxes = network.boxes.len().to_string();
            let created = format!("{} ago", time::since(network.created_at));
            vec![network.name.to_string(), network.subnet4, network.subnet6, boxes, created]
        })
        .collect();
    table::print(&["NETWORK", "IPV4", "IPV6", "BOXES", "CREATED"], &rows)
        .map_err(|e| BoxError::io("cannot print", e))?;
    Ok(0)
}

fn inspect(engine: &Engine, names: &[NetworkName]) -> Result<u8> {
    let views = names.iter().map(|name| engine.inspect_network(name)).collect::<Result<Vec<_>>>()?;
    let json = serde_json::to_string_pretty(&views).map_err(|e| BoxError::io("cannot print", e.into()))?;
    stream::line(&json)?;
    Ok(0)
}
