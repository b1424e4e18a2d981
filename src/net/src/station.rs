//! What all parts of the stack share: the way to the guest, the poll, the policy, the limits, the log, the time.

use crate::audit::Audit;
use crate::limit::Limiter;
use crate::packet::Identity;
use crate::policy::Policy;
use crate::poll::Poll;
use crate::secret::Handover;
use crate::stream::FrameQueue;
use std::time::Instant;

/// Private memory that all flows together may fill with bytes on their way. Beyond it the guest sends again.
pub(crate) const MAX_HELD: usize = 24 << 20;

/// What all parts of the stack share.
pub(crate) struct Station {
    /// Who is on the link.
    pub(crate) identity: Identity,
    /// The largest IP datagram on the link.
    pub(crate) mtu: usize,
    /// Frames on their way to the guest.
    pub(crate) out: FrameQueue,
    /// What is waited for.
    pub(crate) poll: Poll,
    /// Who may be reached.
    pub(crate) policy: Policy,
    /// How much.
    pub(crate) limiter: Limiter,
    /// What is written down.
    pub(crate) audit: Audit,
    /// The time, as of this turn.
    pub(crate) now: Instant,
    /// Bytes of all flows that are held in memory, in either direction.
    pub(crate) held: usize,
    /// Connections, flows and pings that are open.
    pub(crate) open: usize,
    /// Connections that flows give out of their hands in this turn.
    pub(crate) handovers: Vec<Handover>,
    /// Flows that have ended of which others still hold something.
    pub(crate) gone: Vec<u64>,
}

impl Station {
    /// Sends a frame to the guest.
    pub(crate) fn send(&mut self, frame: impl Into<std::rc::Rc<Vec<u8>>>) {
        let frame = frame.into();
        self.audit.count().received += u64::try_from(frame.len() - crate::packet::PREFIX).unwrap_or(0);
        self.out.push(frame);
    }

    /// Takes `count` bytes of the common memory.
    pub(crate) fn hold(&mut self, count: usize) {
        self.held += count;
    }

    /// Gives `count` bytes of it back.
    pub(crate) fn release(&mut self, count: usize) {
        debug_assert!(self.held >= count);
        self.held = self.held.saturating_sub(count);
    }

    /// A number that a guest cannot foresee.
    pub(crate) fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        // An early, weaker number is no harm here.
        let _ = getrandom::fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    }
}
