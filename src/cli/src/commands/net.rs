//! `net explain|log|learn`: what a box may reach, and what it did.

use crate::stream;
use a3s_box_core::{BoxError, ErrorKind, Result, Transport};
use a3s_box_runtime::Engine;
use clap::{Args, Subcommand};
use std::io;
use std::net::Ipv6Addr;

#[derive(Args)]
pub(crate) struct Net {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say whether a box may connect to a host, which rule says so, and which secrets may go there. The exit code is 0 where it may, else 1
    Explain {
        /// Box, by name or id
        #[arg(value_name = "BOX")]
        name: String,
        /// A name or an address, and a port; 443 when absent
        #[arg(value_name = "HOST[:PORT][/udp]", value_parser = end)]
        end: End,
    },
    /// Show what a box did on the network, a JSON object a connection or query
    Log {
        /// Box, by name or id
        #[arg(value_name = "BOX")]
        name: String,
        /// Go on until the box ends
        #[arg(short, long)]
        follow: bool,
    },
    /// Write the narrowest policy with which the last run of a box could have done what it did, for --net-policy
    Learn {
        /// Box, by name or id
        #[arg(value_name = "BOX")]
        name: String,
    },
}

/// Where a connection would go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    host: String,
    port: u16,
    transport: Transport,
}

impl Net {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        match self.what {
            What::Explain { name, end } => explain(engine, &name, &end),
            What::Log { name, follow } => log(engine, &name, follow),
            What::Learn { name } => stream::line(engine.learned(&name)?.to_string().trim_end()).map(|()| 0),
        }
    }
}

fn explain(engine: &Engine, name: &str, end: &End) -> Result<u8> {
    let answers = engine.explain(name, &end.host, end.port, end.transport)?;
    let mut open = !answers.is_empty();
    for answer in answers {
        let verdict = if answer.decision.is_allow() { "allowed" } else { "denied" };
        let address = answer.address.filter(|address| address.to_string() != end.host);
        let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
        let (rule, reason) = (&answer.decision.rule, &answer.decision.reason);
        stream::line(&format!(
            "{verdict}: {} port {}/{}{at} by \"{rule}\": {reason}",
            end.host, end.port, end.transport
        ))?;
        for (secret, tls) in &answer.secrets {
            let over = if *tls { "over TLS" } else { "without TLS" };
            stream::line(&format!("    with secret {secret}, {over}"))?;
        }
        open &= answer.decision.is_allow();
    }
    Ok(u8::from(!open))
}

fn log(engine: &Engine, name: &str, follow: bool) -> Result<u8> {
    let mut broken = None;
    let read = engine.net_log(name, follow, &mut |record| {
        let json = serde_json::to_string(record)?;
        stream::line(&json).map_err(|error| {
            broken = Some(error);
            io::ErrorKind::BrokenPipe.into()
        })
    });
    // What keeps us from writing is the reader's matter, not the log's.
    broken.map_or(read, Err).map(|()| 0)
}

fn end(text: &str) -> Result<End> {
    let invalid = || {
        BoxError::new(ErrorKind::InvalidInput, format!("invalid host {text:?}"))
            .with_hint("write pypi.org, pypi.org:443, 192.0.2.1:53/udp or [2001:db8::1]:443")
    };
    let (rest, transport) = match text.rsplit_once('/') {
        Some((rest, word)) => (rest, word.parse()?),
        None => (text, Transport::Tcp),
    };
    let (host, port) = if rest.parse::<Ipv6Addr>().is_ok() {
        (rest, None)
    } else if let Some(inner) = rest.strip_prefix('[') {
        let (host, port) = inner.split_once(']').ok_or_else(invalid)?;
        host.parse::<Ipv6Addr>().map_err(|_| invalid())?;
        if port.is_empty() { (host, None) } else { (host, Some(port.strip_prefix(':').ok_or_else(invalid)?)) }
    } else {
        rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
    };
    let port = port.map_or(Ok(443), str::parse).map_err(|_| invalid())?;
    let name = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    if host.is_empty() || host.len() > 253 || !name || port == 0 {
        return Err(invalid());
    }
    Ok(End { host: host.to_owned(), port, transport })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_host_and_a_port() {
        let read = |text: &str| end(text).map(|end| (end.host, end.port, end.transport)).unwrap();
        let host = |host: &str, port| (host.to_owned(), port, Transport::Tcp);
        assert_eq!(read("pypi.org"), host("pypi.org", 443));
        assert_eq!(read("pypi.org:80"), host("pypi.org", 80));
        assert_eq!(read("::1"), host("::1", 443));
        assert_eq!(read("[::1]:80"), host("::1", 80));
        assert_eq!(read("192.0.2.1:53/udp").2, Transport::Udp);
        for bad in ["", ":80", "a:0", "a:b", "a/sctp", "[a]:1", "[::1]1", "a b", "a\u{1b}[m"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }
}
