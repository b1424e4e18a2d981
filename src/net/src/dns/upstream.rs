//! One query on its way to the host's resolvers: one after the other, over UDP, and over TCP what was cut; or over TLS
//! alone, where the resolver has a name to prove (RFC 7858).

use super::message::{self, Answer, Query};
use crate::poll::{Ready, Source};
use crate::side::Side;
use crate::socket;
use crate::station::Station;
use crate::sys;
use a3s_box_core::NetResolver;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A resolver has this long before the next one is asked. Clients ask again after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Over TLS there are more ways to go.
const TLS_PATIENCE: Duration = Duration::from_secs(3);
/// Rounds over all resolvers.
const ROUNDS: usize = 2;
const MAX_MESSAGE: usize = 65_535;

/// What came of a step.
#[derive(Debug)]
pub(super) enum Outcome {
    Waiting,
    /// This resolver is no good; ask the next.
    Retry,
    /// The answer does not fit a datagram.
    Cut,
    Answer(Vec<u8>, Answer),
    Failed,
}

enum Socket {
    None,
    Udp(OwnedFd),
    Tcp { socket: OwnedFd, unsent: Vec<u8>, received: Vec<u8> },
    Tls { side: Box<Side>, received: Vec<u8> },
}

/// One query's way.
pub(super) struct Upstream {
    resolvers: Vec<NetResolver>,
    tls: Option<Arc<ClientConfig>>,
    asked: usize,
    /// The number that it is asked under. With the socket's port it is all that a forger has to guess.
    number: u16,
    socket: Socket,
    deadline: Instant,
}

impl Upstream {
    pub(super) fn new(resolvers: Vec<NetResolver>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { resolvers, tls, asked: 0, number: 0, socket: Socket::None, deadline: Instant::now() }
    }

    /// When to ask the next one.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks the next resolver, over UDP or TLS.
    pub(super) fn next(&mut self, id: u64, query: &Query, station: &mut Station) -> Outcome {
        while self.asked < self.resolvers.len() * ROUNDS {
            let NetResolver { address: resolver, name } =
                self.resolvers[self.asked % self.resolvers.len()].clone();
            self.asked += 1;
            self.renew(station);
            if let Some(name) = name {
                match self.over_tls(id, (resolver, name), query, station) {
                    Ok(()) => return Outcome::Waiting,
                    Err(error) => tracing::debug!(%resolver, %error, "cannot ask a resolver"),
                }
                continue;
            }
            let asked = socket::udp(resolver).and_then(|socket| {
                send(&socket, &query.forward(self.number), sys::NO_SIGNAL)?;
                station.poll.watch(&socket, Source::Resolver(id))?;
                Ok(socket)
            });
            match asked {
                Ok(socket) => {
                    self.socket = Socket::Udp(socket);
                    return Outcome::Waiting;
                }
                Err(error) => tracing::debug!(%resolver, %error, "cannot ask a resolver"),
            }
        }
        Outcome::Failed
    }

    /// Asks the resolver that cut its answer again, over TCP.
    pub(super) fn over_tcp(&mut self, id: u64, query: &Query, station: &mut Station) -> Outcome {
        let resolver = self.resolvers[self.asked.saturating_sub(1) % self.resolvers.len()].address;
        self.renew(station);
        let unsent = self.framed(query);
        let opened = socket::tcp(resolver).and_then(|socket| {
            station.poll.watch(&socket, Source::Resolver(id))?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => {
                self.socket = Socket::Tcp { socket, unsent, received: Vec::new() };
                Outcome::Waiting
            }
            Err(_) => Outcome::Retry,
        }
    }

    fn over_tls(
        &mut self,
        id: u64,
        (address, name): (SocketAddr, String),
        query: &Query,
        station: &mut Station,
    ) -> io::Result<()> {
        let tls = self.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let connection = ClientConnection::new(tls, name).map_err(io::Error::other)?;
        let socket = socket::tcp(address)?;
        station.poll.watch(&socket, Source::Resolver(id))?;
        let mut side = Side::new(socket, Some(connection.into()));
        // It is connected when it can be written.
        side.writable = false;
        side.unsent = self.framed(query);
        self.deadline = station.now + TLS_PATIENCE;
        self.socket = Socket::Tls { side: Box::new(side), received: Vec::new() };
        Ok(())
    }

    /// The query after its length.
    fn framed(&self, query: &Query) -> Vec<u8> {
        let asked = query.forward(self.number);
        let mut framed = u16::try_from(asked.len()).unwrap_or(0).to_be_bytes().to_vec();
        framed.extend_from_slice(&asked);
        framed
    }

    /// The socket can be read or written.
    pub(super) fn ready(&mut self, ready: Ready, query: &Query, now: Instant) -> Outcome {
        if now >= self.deadline {
            return Outcome::Retry;
        }
        match &mut self.socket {
            Socket::None => Outcome::Waiting,
            Socket::Udp(socket) => {
                let mut buffer = vec![0; MAX_MESSAGE];
                loop {
                    match recv(&*socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                        Ok((_, count)) => match message::read_answer(&buffer[..count], query, self.number) {
                            Ok(answer) if answer.truncated => return Outcome::Cut,
                            Ok(answer) => return Outcome::Answer(buffer[..count].to_vec(), answer),
                            // Somebody else's words; the right ones may still come.
                            Err(_) => {}
                        },
                        Err(Errno::AGAIN) => return Outcome::Waiting,
                        Err(Errno::INTR) => {}
                        Err(_) => return Outcome::Retry,
                    }
                }
            }
            Socket::Tcp { socket, unsent, received } => {
                while !unsent.is_empty() {
                    match send(&*socket, unsent, sys::NO_SIGNAL | SendFlags::DONTWAIT) {
                        Ok(count) => drop(unsent.drain(..count)),
                        Err(Errno::AGAIN | Errno::INPROGRESS | Errno::NOTCONN) => return Outcome::Waiting,
                        Err(_) => return Outcome::Retry,
                    }
                }
                let mut buffer = [0; 4096];
                loop {
                    match recv(&*socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                        Ok((_, 0)) => return Outcome::Retry,
                        Ok((_, count)) => received.extend_from_slice(&buffer[..count]),
                        Err(Errno::AGAIN) => return Outcome::Waiting,
                        Err(Errno::INTR) => {}
                        Err(_) => return Outcome::Retry,
                    }
                    if let Some(outcome) = framed_answer(received, query, self.number) {
                        return outcome;
                    }
                }
            }
            Socket::Tls { side, received } => {
                (side.readable, side.writable) = (side.readable | ready.read, side.writable | ready.write);
                loop {
                    let moved = side.flush().and_then(|sent| Ok(side.fill(received)? || sent));
                    if let Some(outcome) = framed_answer(received, query, self.number) {
                        return outcome;
                    }
                    match moved {
                        Ok(_) if side.ended => return Outcome::Retry,
                        Ok(true) => {}
                        Ok(false) => return Outcome::Waiting,
                        Err(error) => {
                            tracing::debug!(?error, "a resolver is not what it says");
                            return Outcome::Retry;
                        }
                    }
                }
            }
        }
    }

    fn renew(&mut self, station: &Station) {
        self.number = u16::try_from(station.random() & 0xffff).unwrap_or(0);
        self.deadline = station.now + PATIENCE;
        self.socket = Socket::None;
    }
}

/// What came of an answer after its length, once it is whole.
fn framed_answer(received: &[u8], query: &Query, number: u16) -> Option<Outcome> {
    let length = usize::from(u16::from_be_bytes(*received.first_chunk::<2>()?));
    let bytes = received.get(2..2 + length)?;
    Some(match message::read_answer(bytes, query, number) {
        Ok(answer) => Outcome::Answer(bytes.to_vec(), answer),
        Err(_) => Outcome::Retry,
    })
}
