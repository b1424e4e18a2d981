//! Says what would become of a connection, and which rule says so: `net explain`.

use crate::neighbours::member;
use crate::policy::{Decision, HOST_NAME, Policy};
use a3s_box_core::{NetAddresses, NetPolicy, Secret, Transport};
use std::net::IpAddr;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// A name or an address.
    pub host: String,
    /// Where the host's resolvers find the name.
    pub addresses: Vec<IpAddr>,
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

/// The decision for one address, or for the name alone where that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The address that it is about.
    pub address: Option<IpAddr>,
    /// What is decided, by which rule and why.
    pub decision: Decision,
    /// The secrets that the box may use there, by name, and whether over TLS.
    pub secrets: Vec<(String, bool)>,
}

impl Explanation {
    /// That of another box on the network called `network`, which no policy is asked about.
    pub fn neighbour(network: &str, address: Option<IpAddr>) -> Self {
        Self { address, decision: member(network), secrets: Vec::new() }
    }
}

/// What would become of a connection under `policy`, and why, and which of `secrets` it may carry.
pub fn explain(policy: &NetPolicy, secrets: &[Secret], question: &Question) -> Vec<Explanation> {
    let link = NetAddresses::default();
    let gateway = [link.gateway4.into(), link.gateway6.into()];
    let policy = Policy::new(policy, secrets, gateway);
    let lower = question.host.trim_end_matches('.').to_ascii_lowercase();
    let literal = lower.parse::<IpAddr>().ok();
    let addresses = match literal {
        Some(address) => vec![address],
        None if lower == HOST_NAME => vec![link.gateway4.into()],
        None => question.addresses.clone(),
    };
    let name = literal.is_none().then_some(lower.as_str());
    let decisions = policy.explain(name, &addresses, question.port, question.transport);
    let spoken = question.transport == Transport::Tcp;
    let secrets = name.filter(|_| spoken).map(|name| policy.explain_secrets(name, question.port));
    let carried = |decision: &Decision| secrets.clone().filter(|_| decision.is_allow()).unwrap_or_default();
    let explained = |(address, decision)| Explanation { secrets: carried(&decision), address, decision };
    decisions.into_iter().map(explained).collect()
}
