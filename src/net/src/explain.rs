//! Says what would become of a connection, and which rule says so: `net explain`.

use crate::policy::{Decision, HOST_NAME};
use crate::stack::Traffic;
use a3s_box_core::Transport;
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
}

pub(crate) fn answer(question: &Question, traffic: &Traffic) -> Vec<Explanation> {
    let policy = &traffic.station.policy;
    let identity = &traffic.station.identity;
    let lower = question.host.trim_end_matches('.').to_ascii_lowercase();
    let literal = lower.parse::<IpAddr>().ok();
    let known = if lower == HOST_NAME {
        Some(vec![identity.gateway4.into(), identity.gateway6.into()])
    } else {
        traffic.neighbours.addresses(&lower)
    };
    let addresses = match (literal, known) {
        (Some(address), _) => vec![address],
        (None, Some(known)) => known,
        (None, None) => question.addresses.clone(),
    };
    if let Some(neighbour) = addresses.first().and_then(|address| traffic.neighbours.find(*address)) {
        let decision = traffic.neighbours.decision(&neighbour);
        return vec![Explanation { address: addresses.first().copied(), decision }];
    }
    let name = literal.is_none().then_some(lower.as_str());
    let decisions = policy.explain(name, &addresses, question.port, question.transport);
    decisions.into_iter().map(|(address, decision)| Explanation { address, decision }).collect()
}
