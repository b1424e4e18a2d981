//! The guest's bytes on their way to the host's socket.
//!
//! A byte is acknowledged when the socket has it, or this has it. What the socket does not take is held here,
//! the window says how much more may come, and so a slow receiver stops the guest. The link loses and reorders
//! nothing, hence a segment out of order is only asked for again.

use super::{before, count32};
use crate::limit::Way;
use crate::station::{MAX_HELD, Station};
use crate::sys;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsFd;

/// What one flow may hold, and so the largest window.
const MOST: usize = 1 << 20;
/// The window of a flow while the common memory is nearly used up.
const LEAST: usize = 64 << 10;
/// By how many bits our windows are shifted.
pub(super) const SCALE: u8 = 7;
/// A held buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 4 << 10;

/// One flow's way out.
pub(super) struct Upload {
    /// The next byte that the guest has to send.
    pub(super) next: u32,
    /// The first byte that it may not send yet.
    edge: u32,
    /// Whether windows are scaled, which both sides must want.
    pub(super) scaled: bool,
    held: VecDeque<u8>,
    /// How many of the held bytes may go; the rest is still being looked at.
    released: usize,
    /// Whether everything may go, now and later.
    pub(super) open: bool,
    /// Whether the guest has said that no more comes.
    pub(super) finished: bool,
    /// Whether the socket has been told.
    pub(super) shut: bool,
    /// Whether the guest waits for an acknowledgement or a window.
    pub(super) must_ack: bool,
    /// Whether the socket took all that it was offered.
    pub(super) writable: bool,
    /// Bytes that the socket has taken.
    pub(super) total: u64,
    /// Whether a rate limit keeps bytes here.
    pub(super) paced: bool,
}

impl Upload {
    pub(super) fn new(next: u32, open: bool) -> Self {
        Self {
            next,
            edge: next.wrapping_add(0xffff),
            scaled: false,
            held: VecDeque::new(),
            released: 0,
            open,
            finished: false,
            shut: false,
            must_ack: false,
            writable: true,
            total: 0,
            paced: false,
        }
    }

    /// Takes what is new of a segment at `seq`, and its end where it has one.
    pub(super) fn take(
        &mut self,
        host: impl AsFd,
        to: IpAddr,
        station: &mut Station,
        (seq, data, finishes): (u32, &[u8], bool),
    ) -> Result<(), Errno> {
        if data.is_empty() && !finishes {
            // A probe of the window, or an acknowledgement.
            self.must_ack |= seq != self.next;
            return Ok(());
        }
        self.must_ack = true;
        if self.finished || before(self.next, seq) {
            return Ok(());
        }
        let old = usize::try_from(self.next.wrapping_sub(seq)).unwrap_or(usize::MAX);
        let Some(fresh) = data.get(old..) else { return Ok(()) };
        let room = usize::try_from(self.edge.wrapping_sub(self.next)).unwrap_or(0);
        let fits = &fresh[..fresh.len().min(room)];
        let mut taken = 0;
        if self.open && self.writable && self.held.is_empty() {
            taken = self.write(&host, to, station, fits)?;
        }
        let rest = &fits[taken..];
        if !rest.is_empty() && station.held + rest.len() <= MAX_HELD {
            self.held.extend(rest);
            station.hold(rest.len());
            if self.open {
                self.released = self.held.len();
            }
            taken += rest.len();
        }
        self.next = self.next.wrapping_add(count32(taken));
        if finishes && taken == fresh.len() {
            self.next = self.next.wrapping_add(1);
            self.finished = true;
        }
        Ok(())
    }

    /// Writes what is held and may go, then tells the socket of the end.
    pub(super) fn drain(&mut self, host: impl AsFd, to: IpAddr, station: &mut Station) -> Result<(), Errno> {
        self.paced = false;
        while self.writable && self.released > 0 && !self.paced {
            let held = std::mem::take(&mut self.held);
            let (front, _) = held.as_slices();
            let result = self.write(&host, to, station, &front[..front.len().min(self.released)]);
            self.held = held;
            let count = result?;
            self.held.drain(..count);
            self.released -= count;
            station.release(count);
        }
        if self.held.is_empty() && self.held.capacity() > KEEP {
            self.held = VecDeque::new();
        }
        if self.finished && self.held.is_empty() && !self.shut {
            self.shut = true;
            match rustix::net::shutdown(&host, rustix::net::Shutdown::Write) {
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        host: impl AsFd,
        to: IpAddr,
        station: &mut Station,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let granted = station.limiter.grant(to, Way::Out, bytes.len(), station.now);
        self.paced |= granted < bytes.len();
        let bytes = &bytes[..granted];
        let mut sent = 0;
        while sent < bytes.len() {
            match send(&host, &bytes[sent..], sys::NO_SIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.writable = false;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        station.limiter.spend(to, Way::Out, sent, station.now);
        self.total += u64::try_from(sent).unwrap_or(0);
        Ok(sent)
    }

    /// The bytes that are held and not released, in one piece.
    pub(super) fn unreleased(&mut self) -> &[u8] {
        let released = self.released;
        &self.held.make_contiguous()[released..]
    }

    /// Whether released bytes have not gone yet.
    pub(super) fn is_going(&self) -> bool {
        self.released > 0
    }

    /// Lets `count` more of the held bytes go.
    pub(super) fn release(&mut self, count: usize) {
        self.released = (self.released + count).min(self.held.len());
    }

    /// Lets everything go, now and later.
    pub(super) fn release_all(&mut self) {
        self.open = true;
        self.released = self.held.len();
    }

    /// Forgets what is held.
    pub(super) fn discard(&mut self, station: &mut Station) {
        station.release(self.held.len());
        self.held = VecDeque::new();
        self.released = 0;
    }

    /// Asks for a window update where the guest was told of a small window and there is a large one now.
    pub(super) fn reopen(&mut self, station: &Station) {
        let promised = self.edge.wrapping_sub(self.next);
        let window = count32(self.room(station));
        let small = count32(LEAST / 2);
        self.must_ack |= promised < small && window.saturating_sub(promised) >= small;
    }

    /// The window as it goes into a segment; the guest is held to it.
    pub(super) fn window(&mut self, station: &Station) -> u16 {
        let shift = if self.scaled { SCALE } else { 0 };
        let window = u16::try_from(self.room(station) >> shift).unwrap_or(u16::MAX);
        let edge = self.next.wrapping_add(u32::from(window) << shift);
        // What was promised stays promised.
        if before(self.edge, edge) {
            self.edge = edge;
        }
        self.promised()
    }

    /// The window that the guest was last told of, as far as it has not used it.
    pub(super) fn promised(&self) -> u16 {
        let shift = if self.scaled { SCALE } else { 0 };
        u16::try_from(self.edge.wrapping_sub(self.next) >> shift).unwrap_or(u16::MAX)
    }

    fn room(&self, station: &Station) -> usize {
        let most = if station.held > MAX_HELD / 2 { LEAST } else { MOST };
        most.saturating_sub(self.held.len())
    }
}
