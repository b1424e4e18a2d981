//! The loop that ties it together: frames in, what they mean, frames out; on one thread, without locks.

use crate::dns::{self, Dns};
use crate::neighbours::Neighbours;
use crate::packet::{Echo, Inbound, Protocol, Segment, Udp, Unreachable, read, unreachable};
use crate::ping::Pings;
use crate::policy::{Decision, Passage};
use crate::poll::{Ready, Source};
use crate::ports::{self, Ports};
use crate::secret::Secrets;
use crate::socket;
use crate::station::Station;
use crate::stream::{Filled, FrameReader};
use crate::tcp::{Asked, Connections, Opening};
use crate::udp::{self, Flows};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recvfrom};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Reads of the VMM's stream in a turn, so that the host's sockets have theirs.
const READS: usize = 4;
/// Connections taken from a published port in a turn.
const ACCEPTS: usize = 64;

/// The network of one box, as it runs.
pub(crate) struct Stack {
    pub(crate) link: UnixStream,
    /// Watched for as long as the stack runs.
    pub(crate) _end: OwnedFd,
    pub(crate) reader: FrameReader,
    pub(crate) traffic: Traffic,
    /// Whether the stream may have more than was read.
    pub(crate) readable: bool,
}

/// What the guest's packets lead to.
pub(crate) struct Traffic {
    pub(crate) station: Station,
    pub(crate) connections: Connections,
    pub(crate) flows: Flows,
    pub(crate) pings: Pings,
    pub(crate) dns: Dns,
    pub(crate) ports: Ports,
    pub(crate) neighbours: Neighbours,
    pub(crate) secrets: Secrets,
}

impl Stack {
    /// Carries the guest's traffic until the VMM closes the stream or somebody says stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let result = loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.traffic.end();
        result
    }

    /// One turn. `false` when it was the last.
    fn turn(&mut self) -> io::Result<bool> {
        let events = {
            let patience = self.patience();
            self.traffic.station.poll.wait(patience)?
        };
        self.traffic.station.now = Instant::now();
        for (source, ready) in events {
            match source {
                Source::Link => self.readable |= ready.read,
                Source::End => return Ok(false),
                other => self.traffic.ready(other, ready),
            }
        }
        for _ in 0..READS {
            // A guest that does not take its frames gets no more answers to write.
            if !self.readable || self.traffic.station.out.is_flooded() {
                break;
            }
            match self.reader.fill(&self.link)? {
                Filled::Closed => return Ok(false),
                Filled::Nothing => self.readable = false,
                Filled::Some => {
                    while let Some(range) = self.reader.next_frame()? {
                        self.traffic.frame(&self.reader.bytes()[range]);
                    }
                }
            }
        }
        self.traffic.finish_turn();
        match self.traffic.station.out.flush(&self.link) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                return Ok(false);
            }
            result => result?,
        }
        let now = self.traffic.station.now;
        self.traffic.station.audit.settle(now);
        Ok(true)
    }

    /// How long nothing need be done unless something happens.
    fn patience(&self) -> Option<Duration> {
        let traffic = &self.traffic;
        let room = traffic.station.out.has_room() && traffic.station.held < crate::station::MAX_HELD;
        if self.readable && !traffic.station.out.is_flooded() || room && traffic.connections.is_crowded() {
            return Some(Duration::ZERO);
        }
        let due = [
            traffic.connections.due(),
            traffic.flows.due(),
            traffic.pings.due(),
            traffic.dns.due(),
            traffic.neighbours.due(),
            traffic.secrets.due(),
            traffic.station.audit.due(),
        ];
        let next = due.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
    }
}

impl Traffic {
    /// Takes a frame of the guest's.
    pub(crate) fn frame(&mut self, frame: &[u8]) {
        let counters = self.station.audit.count();
        counters.sent_frames += 1;
        counters.sent += u64::try_from(frame.len()).unwrap_or(0);
        let taken = match read(&self.station.identity, frame) {
            Ok(Inbound::Nothing) => Ok(()),
            Ok(Inbound::Answer(answer)) => {
                self.station.send(answer);
                Ok(())
            }
            Ok(Inbound::Ip(datagram)) => match datagram.protocol {
                Protocol::Tcp => Segment::read(&datagram).map(|segment| {
                    if let Some(asked) = self.connections.segment(&segment, datagram.whole, &mut self.station)
                    {
                        self.open(asked);
                    }
                }),
                Protocol::Udp => Udp::read(&datagram).map(|udp| self.datagram(&udp, datagram.whole)),
                Protocol::Icmp => Echo::read(&datagram).map(|echo| {
                    if let Some(echo) = echo {
                        self.pings.request(echo, datagram.destination, datagram.whole, &mut self.station);
                    }
                }),
            },
            Err(why) => Err(why),
        };
        if let Err(why) = taken {
            self.station.audit.dropped(why);
        }
    }

    /// Decides over a connection that the guest asks for, and opens it.
    fn open(&mut self, asked: Asked) {
        let to = asked.name.remote;
        match self.opening(&asked) {
            Ok(opening) => self.connections.open(asked, opening, &mut self.station),
            Err((decision, why)) => {
                tracing::debug!(%to, rule = decision.rule, reason = decision.reason, "refused");
                self.connections.refuse(&asked, &decision, why, &mut self.station);
            }
        }
    }

    /// The host's end of a connection that the guest asks for, or why there is none.
    fn opening(&mut self, asked: &Asked) -> Result<Opening, (Decision, Option<Unreachable>)> {
        let (to, from) = (asked.name.remote, asked.name.port);
        let station = &mut self.station;
        if let Err(rule) = station.limiter.connection(station.open, station.now) {
            return Err((Decision::deny(rule, "too many connections"), None));
        }
        if station.identity.is_gateway(to.ip()) && to.port() == dns::PORT {
            let decision = Decision {
                verdict: a3s_box_core::Verdict::Allow,
                rule: "built-in: DNS".into(),
                reason: "the gateway answers for names".into(),
            };
            let (host, other) = socket::pair().map_err(|error| failed(&decision, &error))?;
            self.dns.accept(other, station);
            return Ok(Opening { host, answered: false, watched: false, decision });
        }
        if let Some(neighbour) = self.neighbours.find(to.ip()) {
            let decision = self.neighbours.decision(&neighbour);
            let connected = self.neighbours.connect(&neighbour, from, to);
            let host = connected.map_err(|error| failed(&decision, &error))?;
            return Ok(Opening { host, answered: true, watched: false, decision });
        }
        let (decision, watched) = match station.policy.connect(to, station.now) {
            Passage::Decided(decision) => (decision, false),
            Passage::Inspect(decision) => (decision, true),
        };
        if !decision.is_allow() {
            return Err((decision, None));
        }
        let host = socket::tcp(self.outside(to)).map_err(|error| failed(&decision, &error))?;
        Ok(Opening { host, answered: false, watched, decision })
    }

    fn datagram(&mut self, udp: &Udp<'_>, whole: &[u8]) {
        let to = udp.destination;
        if self.station.identity.is_gateway(to.ip()) && to.port() == dns::PORT {
            let neighbours = |name: &str| self.neighbours.addresses(name);
            return self.dns.datagram((to.ip(), udp.source), udp.data, &neighbours, &mut self.station);
        }
        if let Some(neighbour) = self.neighbours.find(to.ip()) {
            if self.neighbours.datagram(&neighbour, udp.source, to, udp.data).is_err() {
                let frame = unreachable(&self.station.identity, to.ip(), Unreachable::Host, whole);
                self.station.send(frame);
            }
            return;
        }
        let outside = self.outside(to);
        self.flows.datagram(udp, outside, whole, &mut self.station);
    }

    /// Where the host finds what the guest calls `to`.
    fn outside(&self, to: SocketAddr) -> SocketAddr {
        if !self.station.identity.is_gateway(to.ip()) {
            return to;
        }
        let host: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        SocketAddr::new(host, to.port())
    }

    /// Something can be done at a socket.
    fn ready(&mut self, source: Source, ready: Ready) {
        let neighbours = |name: &str| self.neighbours.addresses(name);
        match source {
            Source::Tcp(id) => self.connections.ready(id, ready, &mut self.station),
            Source::Udp(id) => while self.flows.ready(id, &mut self.station) {},
            Source::Ping(id) => self.pings.ready(id, &mut self.station),
            Source::Resolver(id) => self.dns.resolver_ready(id, ready, &mut self.station),
            Source::DnsClient(id) => self.dns.client_ready(id, &neighbours, &mut self.station),
            Source::TcpPort(id) => self.accept(id),
            Source::UdpPort(id) => self.take(id),
            Source::Neighbours(id) => self.neighbours.ready(id, &mut self.station),
            Source::Caller(id) => {
                if let Some(called) = self.neighbours.caller_ready(id, &self.station) {
                    let (port, from) = (called.port, called.from);
                    self.connections.call(
                        port,
                        from,
                        called.socket,
                        true,
                        called.decision,
                        &mut self.station,
                    );
                }
            }
            Source::SecretGuest(_) | Source::SecretHost(_) => {
                if let Some(news) = self.secrets.ready(source, ready, self.station.now) {
                    self.connections.news(news, &mut self.station);
                }
            }
            Source::Link | Source::End => {}
        }
    }

    fn accept(&mut self, id: u64) {
        let Some(port) = self.ports.get(id) else { return };
        for _ in 0..ACCEPTS {
            let Ok((socket, Some(peer))) = socket::accepted(&port.socket) else { return };
            // Beyond the limit they are closed at once, which their callers see.
            if self.station.limiter.connection(self.station.open, self.station.now).is_ok() {
                let remote = ports::seen(peer, &self.station);
                let decision = udp::published(port.guest);
                self.connections.call(port.guest, remote, socket, false, decision, &mut self.station);
            }
        }
    }

    fn take(&mut self, id: u64) {
        let Some(port) = self.ports.get(id) else { return };
        let (guest, socket) = (port.guest, Rc::clone(&port.socket));
        let mut buffer = vec![0; 65_536];
        for _ in 0..ACCEPTS {
            let Ok((_, count, Some(peer))) = recvfrom(&*socket, &mut buffer[..], RecvFlags::DONTWAIT) else {
                return;
            };
            let Ok(peer) = SocketAddr::try_from(peer) else { continue };
            let remote = ports::seen(peer, &self.station);
            self.flows.arrived(guest, remote, (&socket, peer), &buffer[..count], &mut self.station);
        }
    }

    /// Does what is due, and lets wait who has to.
    pub(crate) fn finish_turn(&mut self) {
        self.hand_over();
        let station = &mut self.station;
        self.connections.finish_turn(station);
        self.flows.tick(station);
        self.pings.tick(station);
        if self.dns.due().is_some_and(|at| at <= station.now) {
            self.dns.tick(station);
        }
        self.neighbours.tick(station.now);
        station.audit.count().open = u64::try_from(station.open).unwrap_or(0);
    }

    /// Passes on what flows gave out of their hands, and what became of it.
    fn hand_over(&mut self) {
        let station = &mut self.station;
        for handover in std::mem::take(&mut station.handovers) {
            if let Some(news) = self.secrets.take(handover, station) {
                self.connections.news(news, station);
            }
        }
        for news in self.secrets.tick(station.now) {
            self.connections.news(news, station);
        }
        for flow in std::mem::take(&mut station.gone) {
            self.secrets.gone(flow, station.now);
        }
    }

    /// Writes down what was open, at the end of the box.
    fn end(&mut self) {
        let station = &mut self.station;
        self.connections.end(station);
        self.flows.end(station);
        self.pings.end(station);
        let now = station.now;
        station.audit.sum_up(now);
        station.audit.settle(now);
    }
}

/// What is recorded and what the guest is told of a connection that was allowed and could not be made.
fn failed(decision: &Decision, error: &io::Error) -> (Decision, Option<Unreachable>) {
    let why = Errno::from_io_error(error).and_then(Unreachable::of);
    (Decision::deny(decision.rule.clone(), format!("allowed, but: {error}")), why)
}
