//! The guest's echo requests, passed on by ping sockets. The gateway answers for itself.

use crate::audit::Facts;
use crate::packet::{Echo, Unreachable, echo_reply, unreachable};
use crate::policy::Decision;
use crate::poll::Source;
use crate::socket;
use crate::station::Station;
use crate::sys;
use a3s_box_core::{NetSubject, NetWay};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(5);
const HEADER: usize = 8;

/// One of the guest's pings: its number, and whom it asks.
type Name = (u16, IpAddr);

struct Ping {
    name: Name,
    socket: OwnedFd,
    decision: Decision,
    since: Instant,
    last: Instant,
    sent: u64,
    received: u64,
}

/// All pings of the guest's.
#[derive(Default)]
pub(crate) struct Pings {
    pings: HashMap<u64, Ping>,
    names: HashMap<Name, u64>,
    due: Option<Instant>,
}

impl Pings {
    /// Takes an echo request of the guest's to `to`.
    pub(crate) fn request(&mut self, echo: Echo<'_>, to: IpAddr, whole: &[u8], station: &mut Station) {
        if station.identity.is_gateway(to) {
            let frame = echo_reply(&station.identity, to, echo);
            return station.send(frame);
        }
        let name = (echo.ident, to);
        let id = match self.names.get(&name) {
            Some(id) => *id,
            None => match self.open(name, station) {
                Ok(id) => id,
                Err((decision, why)) => {
                    let facts = Facts { address: Some(to), ..Facts::default() };
                    station.audit.record(NetSubject::Icmp, NetWay::Out, &decision, facts);
                    let frame = unreachable(&station.identity, to, why, whole);
                    return station.send(frame);
                }
            },
        };
        let Some(ping) = self.pings.get_mut(&id) else { return };
        ping.last = station.now;
        ping.sent += u64::try_from(echo.data.len()).unwrap_or(0);
        let mut message = vec![if to.is_ipv4() { 8 } else { 128 }, 0, 0, 0];
        message.extend_from_slice(&echo.ident.to_be_bytes());
        message.extend_from_slice(&echo.sequence.to_be_bytes());
        message.extend_from_slice(echo.data);
        let why = match send(&ping.socket, &message, sys::NO_SIGNAL | SendFlags::DONTWAIT) {
            Err(Errno::NETUNREACH) => Unreachable::Network,
            Err(Errno::HOSTUNREACH) => Unreachable::Host,
            // A full queue loses it, as queues do.
            _ => return,
        };
        let frame = unreachable(&station.identity, to, why, whole);
        station.send(frame);
    }

    fn open(&mut self, name: Name, station: &mut Station) -> Result<u64, (Decision, Unreachable)> {
        let decision = station.policy.echo(name.1);
        if !decision.is_allow() {
            return Err((decision, Unreachable::Prohibited));
        }
        if let Err(rule) = station.limiter.connection(station.open, station.now) {
            return Err((Decision::deny(rule, "too many connections"), Unreachable::Prohibited));
        }
        let id = station.poll.id();
        let opened = socket::ping(name.1).and_then(|socket| {
            station.poll.watch(&socket, Source::Ping(id))?;
            Ok(socket)
        });
        let socket = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                let reason = "this host grants no ping sockets (sysctl net.ipv4.ping_group_range)";
                (Decision::deny("host: ping", reason), Unreachable::Prohibited)
            }
            _ => (Decision::deny(decision.rule.clone(), error.to_string()), Unreachable::Network),
        })?;
        let now = station.now;
        let ping = Ping { name, socket, decision, since: now, last: now, sent: 0, received: 0 };
        station.open += 1;
        self.names.insert(name, id);
        self.pings.insert(id, ping);
        self.due = self.due.or(Some(now + LOOK_EVERY));
        Ok(id)
    }

    /// A ping socket has something.
    pub(crate) fn ready(&mut self, id: u64, station: &mut Station) {
        let Some(ping) = self.pings.get_mut(&id) else { return };
        let mut buffer = vec![0; 65_536];
        loop {
            match recv(&ping.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, count)) => {
                    let Some((header, data)) = sys::echo(&buffer[..count]).split_first_chunk::<HEADER>()
                    else {
                        continue;
                    };
                    if data.len() + 48 > station.mtu || station.out.is_flooded() {
                        continue;
                    }
                    ping.received += u64::try_from(data.len()).unwrap_or(0);
                    // The kernel keeps the sequence, and puts its own number in place of the guest's.
                    let sequence = u16::from_be_bytes([header[6], header[7]]);
                    let echo = Echo { ident: ping.name.0, sequence, data };
                    let frame = echo_reply(&station.identity, ping.name.1, echo);
                    station.send(frame);
                }
                Err(Errno::INTR) => {}
                // Nobody answers an answer; the guest's ping waits and counts.
                Err(_) => return,
            }
        }
    }

    /// Ends pings that have stopped.
    pub(crate) fn tick(&mut self, station: &mut Station) {
        if self.due.is_some_and(|at| at <= station.now) {
            let now = station.now;
            self.end_where(station, |ping| now.saturating_duration_since(ping.last) >= IDLE);
            self.due = (!self.pings.is_empty()).then(|| now + LOOK_EVERY);
        }
    }

    /// When [`Pings::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Ends all pings, at the end of the box.
    pub(crate) fn end(&mut self, station: &mut Station) {
        self.end_where(station, |_| true);
    }

    fn end_where(&mut self, station: &mut Station, ended: impl Fn(&Ping) -> bool) {
        let ids: Vec<u64> = self.pings.iter().filter(|(_, ping)| ended(ping)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(ping) = self.pings.remove(&id) else { continue };
            self.names.remove(&ping.name);
            station.open -= 1;
            let facts = Facts {
                address: Some(ping.name.1),
                sent: ping.sent,
                received: ping.received,
                duration: ping.last.saturating_duration_since(ping.since),
                ..Facts::default()
            };
            station.audit.record(NetSubject::Icmp, NetWay::Out, &ping.decision, facts);
        }
    }
}
