//! One query on its way to the host's resolvers: one after the other, over UDP, and over TCP what was cut.

use super::message::{self, Answer, Query};
use crate::poll::Source;
use crate::socket;
use crate::station::Station;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A resolver has this long before the next one is asked. Clients ask again after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
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
}

/// One query's way.
pub(super) struct Upstream {
    resolvers: Vec<SocketAddr>,
    asked: usize,
    /// The number that it is asked under. With the socket's port it is all that a forger has to guess.
    number: u16,
    socket: Socket,
    deadline: Instant,
}

impl Upstream {
    pub(super) fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, asked: 0, number: 0, socket: Socket::None, deadline: Instant::now() }
    }

    /// When to ask the next one.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks the next resolver, over UDP.
    pub(super) fn next(&mut self, id: u64, query: &Query, station: &mut Station) -> Outcome {
        while self.asked < self.resolvers.len() * ROUNDS {
            let resolver = self.resolvers[self.asked % self.resolvers.len()];
            self.asked += 1;
            self.renew(station);
            let asked = socket::udp(resolver).and_then(|socket| {
                send(&socket, &query.forward(self.number), SendFlags::NOSIGNAL)?;
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
        let resolver = self.resolvers[self.asked.saturating_sub(1) % self.resolvers.len()];
        self.renew(station);
        let asked = query.forward(self.number);
        let mut unsent = u16::try_from(asked.len()).unwrap_or(0).to_be_bytes().to_vec();
        unsent.extend_from_slice(&asked);
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

    /// The socket can be read or written.
    pub(super) fn ready(&mut self, query: &Query, now: Instant) -> Outcome {
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
                    match send(&*socket, unsent, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
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
                    let Some(length) = received.first_chunk::<2>() else { continue };
                    let length = usize::from(u16::from_be_bytes(*length));
                    let Some(bytes) = received.get(2..2 + length) else { continue };
                    return match message::read_answer(bytes, query, self.number) {
                        Ok(answer) => Outcome::Answer(bytes.to_vec(), answer),
                        Err(_) => Outcome::Retry,
                    };
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
