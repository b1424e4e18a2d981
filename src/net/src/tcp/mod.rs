//! The guest's TCP connections: each is ended here and carried on by a socket of the host's.
//!
//! ```text
//!   out:  SYN -> (policy) -> connect() -> SYN-ACK -> ACK -> bytes both ways -> FIN both ways -> gone
//!   in:   accept() -> SYN -> SYN-ACK -> bytes both ways -> FIN both ways -> gone
//! ```
//!
//! A refused or failed connect() becomes a reset or an ICMP error, a reset on one side a reset on the other, the
//! end of one direction the end of that direction. Windows follow the sockets, so that who reads slowly stops
//! who writes, from one end to the other. [`upload::Upload`] and [`download::Download`] are the two directions of a [`Flow`].

mod download;
mod flow;
mod upload;

use crate::audit::Facts;
use crate::packet::{Flags, Header, Options, Segment, Unreachable, unreachable};
use crate::policy::Decision;
use crate::poll::{Ready, Source};
use crate::secret::{News, Over};
use crate::station::Station;
use a3s_box_core::{NetSubject, NetWay};
use download::Spare;
use flow::{End, Flow};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// A connection: the guest's port, and whom it believes to speak with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) port: u16,
    pub(crate) remote: SocketAddr,
}

/// A connection that the guest asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) name: Name,
    seq: u32,
    options: Options,
    quote: Vec<u8>,
}

/// The host's end of a connection that the guest asked for.
pub(crate) struct Opening {
    /// The socket, connected or on its way.
    pub(crate) host: OwnedFd,
    /// Whether the other side says with a byte when it is connected, or that it is not.
    pub(crate) answered: bool,
    /// Whether the connection has to say whom it is for.
    pub(crate) watched: bool,
    /// Why it may be.
    pub(crate) decision: Decision,
}

/// All connections of the guest's.
#[derive(Default)]
pub(crate) struct Connections {
    flows: HashMap<u64, Flow>,
    names: HashMap<Name, u64>,
    spare: Spare,
    /// Flows with something to acknowledge after this batch of segments.
    touched: Vec<u64>,
    /// Flows that wait for room, in the order of their turns.
    crowded: VecDeque<u64>,
    /// When the next flow has something to do. It may be too early, never too late.
    due: Option<Instant>,
}

impl Connections {
    /// Takes a segment. Returns the connection that it asks for, where it does.
    pub(crate) fn segment(
        &mut self,
        segment: &Segment<'_>,
        whole: &[u8],
        station: &mut Station,
    ) -> Option<Asked> {
        let name = Name { port: segment.source, remote: segment.destination };
        let Some(&id) = self.names.get(&name) else {
            if segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK) {
                if segment.flags.has(Flags::RST) || segment.flags.has(Flags::FIN) {
                    return None;
                }
                let quote = whole[..whole.len().min(64)].to_vec();
                return Some(Asked { name, seq: segment.seq, options: segment.options, quote });
            }
            if !segment.flags.has(Flags::RST) {
                reset(name, segment, station);
            }
            return None;
        };
        if let Some(flow) = self.flows.get_mut(&id) {
            let result = flow.segment(segment, station, &mut self.spare);
            self.touched.push(id);
            self.settle(id, result, station);
        }
        None
    }

    /// Opens a connection that the guest asked for.
    pub(crate) fn open(&mut self, asked: Asked, opening: Opening, station: &mut Station) {
        let name = asked.name;
        let id = station.poll.id();
        let flow = Flow::asked(id, asked, opening, station);
        self.insert(id, name, flow, station);
    }

    /// Calls the guest for somebody outside, in the name of `remote`.
    pub(crate) fn call(
        &mut self,
        port: u16,
        remote: SocketAddr,
        host: OwnedFd,
        answer: bool,
        decision: Decision,
        station: &mut Station,
    ) {
        let name = Name { port, remote };
        if self.names.contains_key(&name) {
            return;
        }
        let id = station.poll.id();
        let flow = Flow::called(id, name, host, answer, decision, station);
        self.insert(id, name, flow, station);
    }

    fn insert(&mut self, id: u64, name: Name, flow: Flow, station: &mut Station) {
        if let Err(error) = station.poll.watch(flow.host(), Source::Tcp(id)) {
            tracing::warn!(%error, "cannot watch a connection");
            let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
            return flow.end(&End::Host(errno), station);
        }
        station.open += 1;
        self.arm(flow.due(station.now));
        self.names.insert(name, id);
        self.flows.insert(id, flow);
    }

    /// Refuses a connection that the guest asked for, and writes it down. `why` is for the guest where nobody
    /// refused it but the way there.
    pub(crate) fn refuse(
        &mut self,
        asked: &Asked,
        decision: &Decision,
        why: Option<Unreachable>,
        station: &mut Station,
    ) {
        let name = asked.name;
        let facts =
            Facts { address: Some(name.remote.ip()), port: Some(name.remote.port()), ..Facts::default() };
        station.audit.record(NetSubject::Tcp, NetWay::Out, decision, facts);
        if let Some(why) = why {
            let frame = unreachable(&station.identity, name.remote.ip(), why, &asked.quote);
            return station.send(frame);
        }
        let header = Header {
            source: name.remote,
            destination: name.port,
            seq: 0,
            ack: asked.seq.wrapping_add(1),
            flags: Flags::RST.with(Flags::ACK),
            window: 0,
            options: Options::default(),
        };
        let frame = header.frame(&station.identity);
        station.send(frame);
    }

    /// Something can be done at the host's end of a flow.
    pub(crate) fn ready(&mut self, id: u64, ready: Ready, station: &mut Station) {
        if let Some(flow) = self.flows.get_mut(&id) {
            let result = flow.ready(ready.read, ready.write, station, &mut self.spare);
            self.touched.push(id);
            self.settle(id, result, station);
        }
    }

    /// Hears of a connection that was handed over.
    pub(crate) fn news(&mut self, news: News, station: &mut Station) {
        let Some(flow) = self.flows.get_mut(&news.flow) else { return };
        flow.secrets = news.used;
        let end = match news.over {
            None | Some(Over::Closed) => return,
            Some(Over::Broken(error)) => End::Host(error),
            // What the box was told is still on its way through the flow.
            Some(Over::Ended(why)) => {
                flow.deny(why);
                return;
            }
            Some(Over::Refused(why)) => {
                flow.deny(why);
                End::Refused
            }
        };
        self.settle(news.flow, Err(end), station);
    }

    /// Ends a turn: acknowledges, and lets flows go on for which there is room again.
    pub(crate) fn finish_turn(&mut self, station: &mut Station) {
        for _ in 0..self.crowded.len() {
            if !station.out.has_room() {
                break;
            }
            let Some(id) = self.crowded.pop_front() else { break };
            if let Some(flow) = self.flows.get_mut(&id) {
                let result = flow.carry(station, &mut self.spare);
                self.touched.push(id);
                self.settle(id, result, station);
            }
        }
        for id in std::mem::take(&mut self.touched) {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.acknowledge(station);
            }
        }
        if self.due.is_some_and(|at| at <= station.now) {
            self.tick(station);
        }
    }

    /// When there is something to do without anything happening.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether flows could go on at once if they were asked.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }

    /// Ends all flows, at the end of the box.
    pub(crate) fn end(&mut self, station: &mut Station) {
        let ids: Vec<u64> = self.flows.keys().copied().collect();
        for id in ids {
            self.settle(id, Err(End::Guest), station);
        }
    }

    fn tick(&mut self, station: &mut Station) {
        self.due = None;
        let now = station.now;
        let late: Vec<u64> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.due(now).is_some_and(|at| at <= now) || flow.is_paced())
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(flow) = self.flows.get_mut(&id) {
                let result = flow.tick(station, &mut self.spare);
                self.settle(id, result, station);
            }
        }
        self.due = self.flows.values().filter_map(|flow| flow.due(now)).min();
    }

    /// Keeps a flow, or ends it and writes it down.
    fn settle(&mut self, id: u64, result: Result<(), End>, station: &mut Station) {
        let Err(end) = result else {
            if let Some(flow) = self.flows.get(&id) {
                let (due, crowded) = (flow.due(station.now), flow.is_crowded());
                self.arm(due);
                if crowded && !self.crowded.contains(&id) {
                    self.crowded.push_back(id);
                }
            }
            return;
        };
        let Some(flow) = self.flows.remove(&id) else { return };
        tracing::trace!(?end, name = ?flow.name, stalled = flow.is_stalled(), "a connection has ended");
        self.names.remove(&flow.name);
        station.open -= 1;
        if flow.handed_over {
            station.gone.push(id);
        }
        let (sent, received) = flow.totals();
        let port = if flow.way == NetWay::Out { flow.name.remote.port() } else { flow.name.port };
        // What it says it is for, or else the name that the box asked for and was told this address.
        let asked =
            || Some((*station.policy.names_of(flow.name.remote.ip(), station.now).first()?).to_owned());
        let facts = Facts {
            name: flow.called.clone().or_else(asked),
            address: Some(flow.name.remote.ip()),
            port: Some(port),
            sent,
            received,
            duration: station.now.saturating_duration_since(flow.since),
            secrets: flow.secrets.iter().cloned().collect(),
        };
        let mut decision = flow.decision.clone();
        if let End::Host(error) = &end {
            decision.reason = format!("{}; ended by: {}", decision.reason, io::Error::from(*error));
        }
        station.audit.record(NetSubject::Tcp, flow.way, &decision, facts);
        flow.end(&end, station);
    }

    fn arm(&mut self, at: Option<Instant>) {
        self.due = self.due.into_iter().chain(at).min();
    }
}

/// Answers a segment of a connection that is not.
fn reset(name: Name, segment: &Segment<'_>, station: &mut Station) {
    let acks = segment.flags.has(Flags::ACK);
    let header = Header {
        source: name.remote,
        destination: name.port,
        seq: if acks { segment.ack } else { 0 },
        ack: segment.seq.wrapping_add(segment.length()),
        flags: if acks { Flags::RST } else { Flags::RST.with(Flags::ACK) },
        window: 0,
        options: Options::default(),
    };
    let frame = header.frame(&station.identity);
    station.send(frame);
}

/// Whether `a` comes before `b`, in numbers that wrap around.
fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) >= 1 << 31
}

fn count32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
