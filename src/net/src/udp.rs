//! The guest's UDP: a flow is a port of the guest's and whom it speaks with, and lasts while it is used.

use crate::audit::Facts;
use crate::limit::Way;
use crate::packet::{Refused, Udp, Unreachable, udp_frame, unreachable};
use crate::policy::Decision;
use crate::poll::Source;
use crate::socket;
use crate::station::Station;
use crate::sys;
use a3s_box_core::{NetSubject, NetWay};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sendto};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A flow that was never answered ends this long after its last datagram, and one that was after that.
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Datagrams of one socket in a turn.
const TURN: usize = 64;

/// Whom the guest speaks with, as it sees it.
type Name = (u16, SocketAddr);

/// The host's side of a flow.
enum Host {
    /// A socket of its own.
    Own(OwnedFd),
    /// A published port, and who spoke to it.
    Published(Rc<OwnedFd>, SocketAddr),
}

struct Flow {
    name: Name,
    host: Host,
    decision: Decision,
    way: NetWay,
    since: Instant,
    last: Instant,
    answered: bool,
    sent: u64,
    received: u64,
    /// The guest's last datagram from its IP header on, for an error that quotes it.
    quote: Vec<u8>,
}

/// All flows of the guest's.
pub(crate) struct Flows {
    flows: HashMap<u64, Flow>,
    names: HashMap<Name, u64>,
    buffer: Vec<u8>,
    due: Option<Instant>,
}

impl Flows {
    pub(crate) fn new() -> Self {
        Self { flows: HashMap::new(), names: HashMap::new(), buffer: vec![0; 65_536], due: None }
    }

    /// Takes a datagram of the guest's to `to`, which is its destination as the host has it.
    pub(crate) fn datagram(&mut self, udp: &Udp<'_>, to: SocketAddr, whole: &[u8], station: &mut Station) {
        let name = (udp.source, udp.destination);
        let id = match self.names.get(&name) {
            Some(id) => *id,
            None => match self.open(name, to, station) {
                Ok(id) => id,
                Err((decision, why)) => {
                    let end = udp.destination;
                    let facts = Facts { address: Some(end.ip()), port: Some(end.port()), ..Facts::default() };
                    station.audit.record(NetSubject::Udp, NetWay::Out, &decision, facts);
                    let frame = unreachable(&station.identity, udp.destination.ip(), why, whole);
                    return station.send(frame);
                }
            },
        };
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.last = station.now;
        let length = udp.data.len();
        if station.limiter.grant(to.ip(), Way::Out, length, station.now) < length {
            return;
        }
        let flags = sys::NO_SIGNAL | SendFlags::DONTWAIT;
        let sent = match &flow.host {
            Host::Own(socket) => send(socket, udp.data, flags),
            Host::Published(socket, peer) => sendto(&**socket, udp.data, flags, peer),
        };
        if flow.quote.is_empty() {
            flow.quote = whole[..whole.len().min(64)].to_vec();
        }
        match sent {
            Ok(count) => {
                flow.sent += u64::try_from(count).unwrap_or(0);
                station.limiter.spend(to.ip(), Way::Out, count, station.now);
            }
            Err(error) => failed(flow, error, station),
        }
    }

    fn open(
        &mut self,
        name: Name,
        to: SocketAddr,
        station: &mut Station,
    ) -> Result<u64, (Decision, Unreachable)> {
        let decision = station.policy.datagram(name.1, station.now);
        if !decision.is_allow() {
            return Err((decision, Unreachable::Prohibited));
        }
        if let Err(rule) = station.limiter.connection(station.open, station.now) {
            return Err((Decision::deny(rule, "too many connections"), Unreachable::Prohibited));
        }
        let id = station.poll.id();
        let opened = socket::udp(to).and_then(|socket| {
            station.poll.watch(&socket, Source::Udp(id))?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => {
                self.insert(id, name, Host::Own(socket), decision, NetWay::Out, station);
                Ok(id)
            }
            Err(error) => {
                let decision = Decision::deny(decision.rule, format!("no socket to {to}: {error}"));
                Err((decision, Unreachable::Network))
            }
        }
    }

    /// Passes on what `peer` sent to a published port, in the name of `remote`.
    pub(crate) fn arrived(
        &mut self,
        port: u16,
        remote: SocketAddr,
        (socket, peer): (&Rc<OwnedFd>, SocketAddr),
        data: &[u8],
        station: &mut Station,
    ) {
        let name = (port, remote);
        let id = match self.names.get(&name) {
            Some(id) => *id,
            None if station.limiter.connection(station.open, station.now).is_err() => return,
            None => {
                let id = station.poll.id();
                let decision = published(port);
                let host = Host::Published(Rc::clone(socket), peer);
                self.insert(id, name, host, decision, NetWay::In, station);
                id
            }
        };
        if let Some(flow) = self.flows.get_mut(&id) {
            pass_in(flow, data, station);
        }
    }

    fn insert(
        &mut self,
        id: u64,
        name: Name,
        host: Host,
        decision: Decision,
        way: NetWay,
        station: &mut Station,
    ) {
        let now = station.now;
        let flow = Flow {
            name,
            host,
            decision,
            way,
            since: now,
            last: now,
            answered: false,
            sent: 0,
            received: 0,
            quote: Vec::new(),
        };
        station.open += 1;
        self.names.insert(name, id);
        self.flows.insert(id, flow);
        self.due = self.due.or(Some(now + LOOK_EVERY));
    }

    /// A flow's socket has something. Returns whether it may have more.
    pub(crate) fn ready(&mut self, id: u64, station: &mut Station) -> bool {
        let Some(flow) = self.flows.get_mut(&id) else { return false };
        for _ in 0..TURN {
            let Host::Own(socket) = &flow.host else { return false };
            match recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, count)) => pass_in(flow, &self.buffer[..count], station),
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Err(error) => failed(flow, error, station),
            }
        }
        true
    }

    /// Ends flows that are not used any more.
    pub(crate) fn tick(&mut self, station: &mut Station) {
        if self.due.is_some_and(|at| at <= station.now) {
            let now = station.now;
            self.end_where(station, |flow| {
                let patience = if flow.answered { ANSWERED } else { UNANSWERED };
                now.saturating_duration_since(flow.last) >= patience
            });
            self.due = (!self.flows.is_empty()).then(|| now + LOOK_EVERY);
        }
    }

    /// When [`Flows::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Ends all flows, at the end of the box.
    pub(crate) fn end(&mut self, station: &mut Station) {
        self.end_where(station, |_| true);
    }

    fn end_where(&mut self, station: &mut Station, ended: impl Fn(&Flow) -> bool) {
        let ids: Vec<u64> = self.flows.iter().filter(|(_, flow)| ended(flow)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(flow) = self.flows.remove(&id) else { continue };
            self.names.remove(&flow.name);
            station.open -= 1;
            let port = if flow.way == NetWay::Out { flow.name.1.port() } else { flow.name.0 };
            let facts = Facts {
                name: None,
                address: Some(flow.name.1.ip()),
                port: Some(port),
                sent: flow.sent,
                received: flow.received,
                duration: flow.last.saturating_duration_since(flow.since),
                secrets: Vec::new(),
            };
            station.audit.record(NetSubject::Udp, flow.way, &flow.decision, facts);
        }
    }
}

/// Why somebody outside may speak to `port`.
pub(crate) fn published(port: u16) -> Decision {
    Decision {
        verdict: a3s_box_core::Verdict::Allow,
        rule: format!("published port {port}"),
        reason: "the port is published".into(),
    }
}

fn pass_in(flow: &mut Flow, data: &[u8], station: &mut Station) {
    let from = flow.name.1;
    let headers = if from.is_ipv4() { 28 } else { 48 };
    // It would have to be cut into fragments; and a guest that reads too slowly loses datagrams anywhere.
    if data.len() + headers > station.mtu || station.out.is_flooded() {
        return station.audit.dropped(Refused::Fragment);
    }
    if station.limiter.grant(from.ip(), Way::In, data.len(), station.now) < data.len() {
        return;
    }
    station.limiter.spend(from.ip(), Way::In, data.len(), station.now);
    (flow.last, flow.answered) = (station.now, true);
    flow.received += u64::try_from(data.len()).unwrap_or(0);
    let frame = udp_frame(&station.identity, from, flow.name.0, data);
    station.send(frame);
}

/// What the host's network said of an earlier datagram.
fn failed(flow: &Flow, error: Errno, station: &mut Station) {
    let why = match error {
        Errno::CONNREFUSED => Unreachable::Port,
        Errno::HOSTUNREACH => Unreachable::Host,
        Errno::NETUNREACH => Unreachable::Network,
        _ => return,
    };
    let frame = unreachable(&station.identity, flow.name.1.ip(), why, &flow.quote);
    station.send(frame);
}
