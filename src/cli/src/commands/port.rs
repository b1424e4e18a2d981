//! `port`: where the published ports of a box are.

use crate::stream;
use a3s_box_core::{BoxError, ErrorKind, PortMapping, Result, Transport};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Port {
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
    /// Say only where this port of the box is
    #[arg(value_name = "PORT[/udp]", value_parser = guest_port)]
    port: Option<(u16, Transport)>,
}

impl Port {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let ports = engine.ports(&self.name)?;
        let Some((guest, transport)) = self.port else {
            for PortMapping { host, guest, transport } in ports {
                stream::line(&format!("{guest}/{transport} -> {host}"))?;
            }
            return Ok(0);
        };
        let mut found =
            ports.iter().filter(|port| (port.guest, port.transport) == (guest, transport)).peekable();
        if found.peek().is_none() {
            let text = format!("port {guest}/{transport} of box {} is not published", self.name);
            return Err(BoxError::new(ErrorKind::NotFound, text)
                .with_hint(format!("see `a3s-box port {}`", self.name)));
        }
        for port in found {
            stream::line(&port.host.to_string())?;
        }
        Ok(0)
    }
}

fn guest_port(text: &str) -> Result<(u16, Transport)> {
    let (port, transport) = match text.split_once('/') {
        Some((port, word)) => (port, word.parse()?),
        None => (text, Transport::Tcp),
    };
    let port = port.parse().map_err(|_| {
        BoxError::new(ErrorKind::InvalidInput, format!("invalid port {text:?}"))
            .with_hint("write 80 or 53/udp")
    })?;
    Ok((port, transport))
}
