//! The host socket's bytes on their way to the guest.
//!
//! What is read goes into the frame that carries it, and the frame stays until the guest has acknowledged it.
//! Reading stops where the guest's window, the queue to the VMM or the common memory is full, and so a slow
//! guest stops the sender. The link loses nothing, but a guest may drop what it has no memory for: then the
//! first lost frame is sent again, after three repeated acknowledgements, when a window that was shut opens, or after a
//! timeout, and the next one with each step forward.

use super::{Name, before, count32};
use crate::limit::Way;
use crate::packet::{Flags, Header, HeaderRoom, Options};
use crate::station::{MAX_HELD, Station};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What one flow may have on its way.
const MOST: u32 = 2 << 20;
/// What one flow may read in a turn, so that others have theirs.
const TURN: usize = 512 << 10;
/// A read that brings less is copied, so that its large buffer is free again.
const SMALL: usize = 16 << 10;
/// Large buffers that are kept.
const SPARE: usize = 24;
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
const LEAST_TIMEOUT: Duration = Duration::from_millis(400);
const MOST_TIMEOUT: Duration = Duration::from_secs(30);
/// After so many timeouts in a row the guest is taken for gone: about two minutes.
const MAX_TRIES: u8 = 9;

/// Buffers of a whole segment, used again.
#[derive(Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn take(&mut self, capacity: usize) -> Vec<u8> {
        match self.0.pop() {
            Some(buffer) if buffer.capacity() >= capacity => buffer,
            _ => Vec::with_capacity(capacity),
        }
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < SPARE && buffer.capacity() >= SMALL {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

struct Sent {
    end: u32,
    frame: Rc<Vec<u8>>,
    at: Instant,
    again: bool,
}

/// Shown the bytes that were read, says what a segment carries back: the acknowledgement and the window.
type Carried<'a> = dyn FnMut(&Station, Option<&[u8]>) -> (u32, u16) + 'a;

/// One flow's way in.
pub(super) struct Download {
    /// The first byte that is not acknowledged.
    first: u32,
    /// The next byte to be sent.
    pub(super) next: u32,
    /// The guest's window, in bytes, and the largest it ever was.
    window: u32,
    largest: u32,
    /// By how many bits the guest's windows are shifted.
    pub(super) scale: u8,
    /// The most bytes in a segment.
    pub(super) segment: usize,
    sent: VecDeque<Sent>,
    /// Whether the socket may have something.
    pub(super) readable: bool,
    /// Whether the socket has said that no more comes, and the guest was told.
    pub(super) finished: bool,
    repeated: u8,
    /// Whether the guest has shut its window before what was on its way: it had no memory for that, and dropped it.
    shut: bool,
    /// Up to where the guest lacks something, while frames are sent again.
    recover: Option<u32>,
    timeout: Duration,
    smoothed: Option<(Duration, Duration)>,
    /// When to send again, or to probe a window that is closed.
    pub(super) deadline: Option<Instant>,
    tries: u8,
    /// Bytes that were read.
    pub(super) total: u64,
    /// Whether a rate limit keeps bytes at the host.
    pub(super) paced: bool,
    /// Whether the queue to the VMM or the common memory keeps them there.
    pub(super) crowded: bool,
}

impl Download {
    pub(super) fn new(first: u32) -> Self {
        Self {
            first,
            next: first,
            window: 0,
            largest: 0,
            scale: 0,
            segment: 536,
            sent: VecDeque::new(),
            readable: false,
            finished: false,
            repeated: 0,
            shut: false,
            recover: None,
            timeout: FIRST_TIMEOUT,
            smoothed: None,
            deadline: None,
            tries: 0,
            total: 0,
            paced: false,
            crowded: false,
        }
    }

    /// Whether the guest has acknowledged everything, the end among it.
    pub(super) fn is_done(&self) -> bool {
        self.finished && self.sent.is_empty()
    }

    /// Sends a frame that takes `length` numbers, and keeps it until it is acknowledged.
    pub(super) fn send(&mut self, frame: Rc<Vec<u8>>, length: u32, station: &mut Station) {
        self.next = self.next.wrapping_add(length);
        station.hold(frame.len());
        station.send(Rc::clone(&frame));
        self.sent.push_back(Sent { end: self.next, frame, at: station.now, again: false });
        if self.deadline.is_none() || self.sent.len() == 1 {
            self.deadline = Some(station.now + self.timeout);
        }
    }

    /// Takes the guest's acknowledgement and window. `false` for one that makes no sense. What is sent again for it says
    /// the acknowledgement and the window in `carried`.
    pub(super) fn acknowledged(
        &mut self,
        (ack, window, bare): (u32, u16, bool),
        (name, carried): (Name, (u32, u16)),
        station: &mut Station,
        spare: &mut Spare,
    ) -> bool {
        if before(self.next, ack) {
            return false;
        }
        if before(ack, self.first) {
            return true;
        }
        let window = u32::from(window) << self.scale;
        let moved = ack != self.first;
        let same = window == self.window;
        self.window = window;
        self.largest = self.largest.max(window);
        self.tries = 0;
        if std::mem::replace(&mut self.shut, window == 0 && before(ack, self.next)) && window > 0 {
            // Now it has: what it dropped is not waited for.
            if !moved && !self.sent.is_empty() {
                self.recover = Some(self.next);
                self.again(name, carried, station);
                return true;
            }
        }
        if !moved {
            if bare && same && !self.sent.is_empty() {
                self.repeated = self.repeated.saturating_add(1);
                if self.repeated == 3 && self.recover.is_none() {
                    self.recover = Some(self.next);
                    self.again(name, carried, station);
                }
            }
            return true;
        }
        self.first = ack;
        self.repeated = 0;
        while self.sent.front().is_some_and(|sent| !before(ack, sent.end)) {
            let Some(sent) = self.sent.pop_front() else { break };
            station.release(sent.frame.len());
            if !sent.again {
                self.measure(station.now.saturating_duration_since(sent.at));
            }
            if let Ok(buffer) = Rc::try_unwrap(sent.frame) {
                spare.give(buffer);
            }
        }
        match self.recover {
            Some(until) if before(ack, until) => self.again(name, carried, station),
            _ => self.recover = None,
        }
        self.deadline = (!self.sent.is_empty()).then(|| station.now + self.timeout);
        true
    }

    /// Reads from the socket what may go to the guest, and sends it.
    pub(super) fn pump(
        &mut self,
        host: impl AsFd,
        name: Name,
        carried: &mut Carried<'_>,
        station: &mut Station,
        spare: &mut Spare,
    ) -> Result<(), Errno> {
        let room = HeaderRoom::of(name.remote).bytes();
        let mut turn = 0;
        (self.paced, self.crowded) = (false, false);
        while self.readable && !self.finished {
            if turn >= TURN || !station.out.has_room() || station.held >= MAX_HELD {
                self.crowded = true;
                return Ok(());
            }
            let Some(open) = self.open_window() else {
                // The guest is to say when its window opens; if that is lost, it is asked.
                self.deadline = self.deadline.or(Some(station.now + self.timeout));
                return Ok(());
            };
            let want = station.limiter.grant(name.remote.ip(), Way::In, open, station.now);
            if want == 0 {
                self.paced = true;
                return Ok(());
            }
            let mut frame = spare.take(room + self.segment);
            frame.resize(room, 0);
            let count = match read(&host, &mut frame, want) {
                Ok(0) => {
                    let (ack, window) = carried(station, None);
                    let header = self.header(name, Flags::FIN.with(Flags::ACK), ack, window);
                    self.finished = true;
                    self.send(Rc::new(header.frame(&station.identity)), 1, station);
                    return Ok(());
                }
                Ok(count) => count,
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    spare.give(frame);
                    return Ok(());
                }
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            station.limiter.spend(name.remote.ip(), Way::In, count, station.now);
            let (ack, window) = carried(station, frame.get(room..));
            self.header(name, Flags::PSH.with(Flags::ACK), ack, window).write(&station.identity, &mut frame);
            if count < SMALL && frame.capacity() >= SMALL {
                let copy = frame.clone();
                spare.give(std::mem::replace(&mut frame, copy));
            }
            self.send(Rc::new(frame), count32(count), station);
            self.total += u64::try_from(count).unwrap_or(0);
            turn += count;
        }
        Ok(())
    }

    /// The deadline has passed: sends again, or probes. `false` when the guest is taken for gone.
    pub(super) fn overdue(&mut self, name: Name, carried: (u32, u16), station: &mut Station) -> bool {
        self.deadline = None;
        if self.sent.is_empty() && !self.readable {
            return true;
        }
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return false;
        }
        if self.sent.is_empty() {
            // A number that is long acknowledged makes the guest say what it waits for.
            let mut header = self.header(name, Flags::ACK, carried.0, carried.1);
            header.seq = self.first.wrapping_sub(1);
            let frame = header.frame(&station.identity);
            station.send(frame);
        } else {
            self.recover = Some(self.next);
            self.again(name, carried, station);
        }
        self.timeout = (self.timeout * 2).min(MOST_TIMEOUT);
        self.deadline = Some(station.now + self.timeout);
        true
    }

    /// Sends the first frame that is not acknowledged once more.
    ///
    /// It says what we wait for now: who hears an acknowledgement that is far behind drops all that comes with it
    /// (RFC 5961, 5.2).
    pub(super) fn again(&mut self, name: Name, carried: (u32, u16), station: &mut Station) {
        if let Some(first) = self.sent.front_mut()
            // One that still waits in the queue was not lost.
            && let Some(frame) = Rc::get_mut(&mut first.frame)
        {
            Header::renew(&station.identity, frame, name.remote.ip(), carried);
            first.again = true;
            station.send(Rc::clone(&first.frame));
        }
    }

    /// Forgets what is on its way.
    pub(super) fn discard(&mut self, station: &mut Station) {
        for sent in self.sent.drain(..) {
            station.release(sent.frame.len());
        }
        self.deadline = None;
    }

    /// A header for an acknowledgement alone.
    ///
    /// Its number is one that the guest takes: one that shut its window before what is on its way has dropped that, and
    /// what comes after its window too, whatever it says (RFC 9293, 3.10.7.4).
    pub(super) fn bare(&self, name: Name, ack: u32, window: u16) -> Header {
        let edge = self.first.wrapping_add(self.window);
        let seq = if before(edge, self.next) { edge } else { self.next };
        Header { seq, ..self.header(name, Flags::ACK, ack, window) }
    }

    /// A header for the next bytes.
    pub(super) fn header(&self, name: Name, flags: Flags, ack: u32, window: u16) -> Header {
        let (source, destination) = (name.remote, name.port);
        Header { source, destination, seq: self.next, ack, flags, window, options: Options::default() }
    }

    /// Whether the guest's window keeps bytes at the host.
    pub(super) fn is_closed(&self) -> bool {
        self.open_window().is_none()
    }

    /// How many bytes one segment may carry now. `None` while it is not worth sending one.
    fn open_window(&self) -> Option<usize> {
        let underway = self.next.wrapping_sub(self.first);
        let open = self.window.min(MOST).saturating_sub(underway);
        let whole = count32(self.segment);
        // A sliver is sent only to a guest that never opens more (RFC 9293, 3.8.6.2.1).
        if open == 0 || open < whole && open < self.largest / 2 && underway > 0 {
            return None;
        }
        usize::try_from(open.min(whole)).ok()
    }

    /// RFC 6298.
    fn measure(&mut self, trip: Duration) {
        let (smoothed, varies) = match self.smoothed {
            None => (trip, trip / 2),
            Some((smoothed, varies)) => {
                let off = smoothed.abs_diff(trip);
                ((smoothed * 7 + trip) / 8, (varies * 3 + off) / 4)
            }
        };
        self.smoothed = Some((smoothed, varies));
        self.timeout = (smoothed + varies * 4).clamp(LEAST_TIMEOUT, MOST_TIMEOUT);
    }
}

/// Reads at most `want` bytes to the end of `frame`, into memory that need not be cleared first.
fn read(host: impl AsFd, frame: &mut Vec<u8>, want: usize) -> Result<usize, Errno> {
    if frame.capacity() - frame.len() == want {
        return recv(host, rustix::buffer::spare_capacity(frame), RecvFlags::DONTWAIT)
            .map(|(_, count)| count);
    }
    let start = frame.len();
    frame.resize(start + want, 0);
    let result = recv(host, &mut frame[start..], RecvFlags::DONTWAIT).map(|(_, count)| count);
    frame.truncate(start + result.unwrap_or(0));
    result
}
