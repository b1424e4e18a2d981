//! The box's DNS, at the gateway's port 53 over UDP and TCP.
//!
//! The policy decides for the name; what it allows is answered from what we know (the host, other boxes) or
//! forwarded to the host's resolvers. Answers with addresses are rebuilt from what was understood of them, so
//! that the box connects to no address which the policy was not told of; addresses that a name of the internet
//! must not lead to are left out. Records that carry encrypted-hello keys and address hints (HTTPS, SVCB) are
//! answered as absent: clients then ask for addresses and say plainly whom they want.

mod message;
mod resolvers;
mod serve;
mod upstream;

use crate::audit::Facts;
use crate::packet::udp_frame;
use crate::policy::{Decision, HOST_NAME};
use crate::poll::Ready;
use crate::station::Station;
use a3s_box_core::{NetResolver, NetSubject, NetWay};
use message::{A, AAAA, Code, HTTPS, ODD_KINDS, Query, SVCB};
use resolvers::Resolvers;
use rustls::ClientConfig;
use serve::Clients;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use upstream::{Outcome, Upstream};

/// The port that the box's DNS is at.
pub(crate) const PORT: u16 = 53;
/// What we know ourselves holds so long.
const OWN_TTL: u32 = 30;
/// What a client without EDNS takes over UDP, and what we give one with it.
const PLAIN: u16 = 512;
const LARGEST: u16 = 4096;
/// Queries underway at a time.
const MAX_UNDERWAY: usize = 256;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// A port of the guest's, by the gateway's address that it asked.
    Udp { port: u16, gateway: IpAddr },
    /// A connection.
    Tcp(u64),
}

/// A query that a resolver works on.
struct Underway {
    query: Query,
    client: Client,
    decision: Decision,
    upstream: Upstream,
    since: Instant,
}

/// The DNS of one box.
pub(crate) struct Dns {
    resolvers: Resolvers,
    tls: Option<Arc<ClientConfig>>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    underway: HashMap<u64, Underway>,
    clients: Clients,
}

impl Dns {
    /// Answers `hosts` itself and asks `resolvers`, or the host's, for the rest.
    /// `tls` is how to speak with resolvers over TLS.
    pub(crate) fn new(
        resolvers: &[NetResolver],
        hosts: &BTreeMap<String, Vec<IpAddr>>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        Self {
            tls,
            resolvers: Resolvers::new(resolvers, Path::new("/etc/resolv.conf")),
            hosts: hosts.iter().map(|(name, list)| (name.to_ascii_lowercase(), list.clone())).collect(),
            underway: HashMap::new(),
            clients: Clients::default(),
        }
    }

    /// Takes a query that came over UDP. `neighbours` knows the other boxes.
    pub(crate) fn datagram(
        &mut self,
        (gateway, port): (IpAddr, u16),
        data: &[u8],
        neighbours: &dyn Fn(&str) -> Option<Vec<IpAddr>>,
        station: &mut Station,
    ) {
        self.ask(Client::Udp { port, gateway }, data, neighbours, station);
    }

    /// Takes over a connection of the guest's to our port.
    pub(crate) fn accept(&mut self, host: std::os::fd::OwnedFd, station: &mut Station) {
        self.clients.accept(host, station);
    }

    /// A connection of the guest's can be read or written.
    pub(crate) fn client_ready(
        &mut self,
        id: u64,
        neighbours: &dyn Fn(&str) -> Option<Vec<IpAddr>>,
        station: &mut Station,
    ) {
        for message in self.clients.ready(id, station.now) {
            self.ask(Client::Tcp(id), &message, neighbours, station);
        }
        self.clients.flush(id);
    }

    /// A resolver's socket can be read or written.
    pub(crate) fn resolver_ready(&mut self, id: u64, ready: Ready, station: &mut Station) {
        if let Some(underway) = self.underway.get_mut(&id) {
            let outcome = underway.upstream.ready(ready, &underway.query, station.now);
            self.settle(id, outcome, station);
        }
    }

    /// Gives up on resolvers and clients that take too long.
    pub(crate) fn tick(&mut self, station: &mut Station) {
        let late: Vec<u64> = self
            .underway
            .iter()
            .filter(|(_, u)| u.upstream.deadline() <= station.now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.retry(id, station);
        }
        self.clients.tick(station.now);
    }

    /// When [`Dns::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let resolvers = self.underway.values().map(|u| u.upstream.deadline()).min();
        resolvers.into_iter().chain(self.clients.due()).min()
    }

    fn ask(
        &mut self,
        client: Client,
        data: &[u8],
        neighbours: &dyn Fn(&str) -> Option<Vec<IpAddr>>,
        station: &mut Station,
    ) {
        station.audit.count().queries += 1;
        let Ok(query) = message::read_query(data) else {
            if let Some(answer) = message::malformed(data) {
                self.reply(client, &answer, None, station);
            }
            let decision = Decision::deny("built-in: DNS", "the query is malformed");
            return record(&decision, None, Instant::now(), station);
        };
        if let Err(rule) = station.limiter.query(station.now) {
            let decision = Decision::deny(rule, "too many queries");
            return self.answer(client, &query, Code::Refused, &decision, station);
        }
        if ODD_KINDS.contains(&query.kind) {
            let decision = Decision::deny("built-in: DNS", "zone transfers and requests for everything");
            return self.answer(client, &query, Code::NotImplemented, &decision, station);
        }
        if let Some(addresses) = self.own(&query.name, neighbours, station) {
            return self.answer_own(client, &query, &addresses, station);
        }
        let decision = station.policy.query(&query.name);
        if !decision.is_allow() {
            return self.answer(client, &query, Code::Refused, &decision, station);
        }
        if matches!(query.kind, HTTPS | SVCB) {
            return self.answer(client, &query, Code::Fine, &decision, station);
        }
        self.forward(client, query, decision, station);
    }

    /// The addresses of a name that we know ourselves.
    fn own(
        &self,
        name: &str,
        neighbours: &dyn Fn(&str) -> Option<Vec<IpAddr>>,
        station: &Station,
    ) -> Option<Vec<IpAddr>> {
        if name == HOST_NAME {
            let allowed = station.policy.query(name).is_allow();
            // What listens on a host's loopback listens on its IPv4 address at least, and not all programs try a second.
            return allowed.then(|| vec![station.identity.gateway4.into()]);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.hosts.get(name).cloned().or_else(|| neighbours(name))
    }

    fn answer_own(&mut self, client: Client, query: &Query, addresses: &[IpAddr], station: &mut Station) {
        let wanted: Vec<(IpAddr, u32)> = addresses
            .iter()
            .filter(|a| query.kind == A && a.is_ipv4() || query.kind == AAAA && a.is_ipv6())
            .map(|a| (*a, OWN_TTL))
            .collect();
        for (address, ttl) in &wanted {
            station.policy.learn(*address, &query.name, Duration::from_secs(u64::from(*ttl)), station.now);
        }
        let bytes = query.answer(Code::Fine, &[], &wanted);
        let decision = Decision {
            verdict: a3s_box_core::Verdict::Allow,
            rule: "built-in: own names".into(),
            reason: told(&wanted),
        };
        record(&decision, Some(query), station.now, station);
        self.reply(client, &bytes, Some(query), station);
    }

    fn forward(&mut self, client: Client, query: Query, decision: Decision, station: &mut Station) {
        if self.underway.len() >= MAX_UNDERWAY {
            let decision = Decision::deny("limit: DNS queries underway", "too many queries at once");
            return self.answer(client, &query, Code::Failed, &decision, station);
        }
        let (id, list) = (station.poll.id(), self.resolvers.list(station.now).to_vec());
        let mut upstream = Upstream::new(list, self.tls.clone());
        let outcome = upstream.next(id, &query, station);
        let since = station.now;
        self.underway.insert(id, Underway { query, client, decision, upstream, since });
        self.settle(id, outcome, station);
    }

    fn retry(&mut self, id: u64, station: &mut Station) {
        if let Some(underway) = self.underway.get_mut(&id) {
            let outcome = underway.upstream.next(id, &underway.query, station);
            self.settle(id, outcome, station);
        }
    }

    fn settle(&mut self, id: u64, outcome: Outcome, station: &mut Station) {
        match outcome {
            Outcome::Waiting => {}
            Outcome::Retry => self.retry(id, station),
            Outcome::Cut => {
                if let Some(underway) = self.underway.get_mut(&id) {
                    let outcome = underway.upstream.over_tcp(id, &underway.query, station);
                    self.settle(id, outcome, station);
                }
            }
            Outcome::Answer(bytes, answer) => {
                let Some(underway) = self.underway.remove(&id) else { return };
                self.answered(underway, bytes, answer, station);
            }
            Outcome::Failed => {
                let Some(underway) = self.underway.remove(&id) else { return };
                let Underway { query, client, mut decision, since, .. } = underway;
                decision.reason = format!("{}, but no resolver of the host answered", decision.reason);
                record(&decision, Some(&query), since, station);
                let bytes = query.answer(Code::Failed, &[], &[]);
                self.reply(client, &bytes, Some(&query), station);
            }
        }
    }

    /// Passes a resolver's answer on: addresses rebuilt and learned, the rest as it is under the client's number.
    fn answered(
        &mut self,
        underway: Underway,
        mut bytes: Vec<u8>,
        answer: message::Answer,
        station: &mut Station,
    ) {
        let Underway { query, client, mut decision, since, .. } = underway;
        if !matches!(query.kind, A | AAAA) {
            bytes[..2].copy_from_slice(&query.id.to_be_bytes());
            record(&decision, Some(&query), since, station);
            return self.reply(client, &bytes, Some(&query), station);
        }
        let (mut open, mut closed) = (Vec::new(), None);
        for (address, ttl) in answer.addresses {
            match station.policy.answer(address) {
                Ok(()) => open.push((address, ttl)),
                Err(special) => closed = Some((address, special)),
            }
        }
        for (address, ttl) in &open {
            station.policy.learn(*address, &query.name, Duration::from_secs(u64::from(*ttl)), station.now);
        }
        let mut code = Code::of(answer.code);
        decision.reason = told(&open);
        if let Some((address, special)) = closed
            && open.is_empty()
        {
            let reason = format!(
                "{} leads to {address}, which is not the internet; allow it with --allow-net {address}",
                query.name
            );
            decision = Decision::deny(format!("built-in: {}", special.name()), reason);
            code = Code::Refused;
        }
        record(&decision, Some(&query), since, station);
        let aliases = if open.is_empty() { &[][..] } else { &answer.aliases };
        self.reply(client, &query.answer(code, aliases, &open), Some(&query), station);
    }

    /// Answers without addresses, and writes it down.
    fn answer(
        &mut self,
        client: Client,
        query: &Query,
        code: Code,
        decision: &Decision,
        station: &mut Station,
    ) {
        record(decision, Some(query), station.now, station);
        let bytes = query.answer(code, &[], &[]);
        self.reply(client, &bytes, Some(query), station);
    }

    fn reply(&mut self, client: Client, bytes: &[u8], query: Option<&Query>, station: &mut Station) {
        match client {
            Client::Udp { port, gateway } => {
                let size = query.and_then(|q| q.size).map_or(PLAIN, |size| size.clamp(PLAIN, LARGEST));
                let source = SocketAddr::new(gateway, PORT);
                let frame = match query {
                    Some(query) if bytes.len() > usize::from(size) => {
                        udp_frame(&station.identity, source, port, &query.cut())
                    }
                    _ => udp_frame(&station.identity, source, port, bytes),
                };
                station.send(frame);
            }
            Client::Tcp(id) => self.clients.send(id, bytes),
        }
    }
}

/// Reads bytes as a query, and as the answer to one; what is understood must be writable. For fuzzing.
pub(crate) fn parsers(bytes: &[u8]) {
    let example = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x07example\0\0\x01\0\x01";
    if let Ok(query) = message::read_query(bytes) {
        assert!(message::read_query(&query.forward(7)).is_ok_and(|again| again.name == query.name));
    }
    if let Ok(query) = message::read_query(example)
        && let Ok(answer) = message::read_answer(bytes, &query, 1)
    {
        let rebuilt = query.answer(Code::of(answer.code), &answer.aliases, &answer.addresses);
        let again = message::read_answer(&rebuilt, &query, 1);
        assert!(answer.truncated || again.is_ok_and(|again| again.addresses == answer.addresses));
    }
    let _ = message::malformed(bytes);
}

fn told(addresses: &[(IpAddr, u32)]) -> String {
    let list: Vec<String> = addresses.iter().take(8).map(|(address, _)| address.to_string()).collect();
    if list.is_empty() { "no addresses".into() } else { format!("answered {}", list.join(", ")) }
}

fn record(decision: &Decision, query: Option<&Query>, since: Instant, station: &mut Station) {
    let facts = Facts {
        name: query.map(|q| q.name.clone()),
        duration: station.now.saturating_duration_since(since),
        ..Facts::default()
    };
    station.audit.record(NetSubject::Dns, NetWay::Out, decision, facts);
}
