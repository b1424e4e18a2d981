//! The guest's TCP connections to the box's DNS. Their other end is a flow, which carries them as any other.

use crate::poll::Source;
use crate::station::Station;
use crate::sys;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const MAX_CLIENTS: usize = 128;
/// A connection without a query for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// Answers that a client does not take; beyond it is cut off.
const MAX_UNSENT: usize = 1 << 20;

struct Connection {
    socket: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    last: Instant,
    /// Whether the guest has said that it asks no more.
    finished: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Clients(HashMap<u64, Connection>);

impl Clients {
    pub(super) fn accept(&mut self, socket: OwnedFd, station: &mut Station) {
        if self.0.len() >= MAX_CLIENTS {
            return;
        }
        let id = station.poll.id();
        if station.poll.watch(&socket, Source::DnsClient(id)).is_ok() {
            let (received, unsent) = (Vec::new(), Vec::new());
            self.0.insert(id, Connection { socket, received, unsent, last: station.now, finished: false });
        }
    }

    /// Reads what there is, and returns the whole messages.
    pub(super) fn ready(&mut self, id: u64, now: Instant) -> Vec<Vec<u8>> {
        let Some(client) = self.0.get_mut(&id) else { return Vec::new() };
        let mut messages = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match recv(&client.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    client.finished = true;
                    break;
                }
                Ok((_, count)) => client.received.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.0.remove(&id);
                    return messages;
                }
            }
            while let Some(length) = client.received.first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                let Some(message) = client.received.get(2..2 + length) else { break };
                messages.push(message.to_vec());
                client.received.drain(..2 + length);
                client.last = now;
            }
        }
        messages
    }

    /// Queues an answer.
    pub(super) fn send(&mut self, id: u64, message: &[u8]) {
        if let Some(client) = self.0.get_mut(&id) {
            client.unsent.extend_from_slice(&u16::try_from(message.len()).unwrap_or(0).to_be_bytes());
            client.unsent.extend_from_slice(&message[..message.len().min(usize::from(u16::MAX))]);
        }
        self.flush(id);
    }

    /// Writes what the client takes.
    pub(super) fn flush(&mut self, id: u64) {
        let Some(client) = self.0.get_mut(&id) else { return };
        while !client.unsent.is_empty() {
            match send(&client.socket, &client.unsent, sys::NO_SIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => drop(client.unsent.drain(..count)),
                Err(Errno::AGAIN) if client.unsent.len() <= MAX_UNSENT => return,
                Err(_) => {
                    self.0.remove(&id);
                    return;
                }
            }
        }
    }

    /// Closes who is idle, or has asked all and was answered.
    pub(super) fn tick(&mut self, now: Instant) {
        self.0.retain(|_, client| {
            let patience = if client.finished { IDLE / 6 } else { IDLE };
            now.saturating_duration_since(client.last) < patience
        });
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|c| c.last + if c.finished { IDLE / 6 } else { IDLE }).min()
    }
}
