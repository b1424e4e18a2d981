//! Pieces of layers on their way: from the decoder to the applier, and through the hash.
//!
//! Two threads, each with work that only it can do, share the hashing: pieces are hashed in order, one at a time, but by
//! whichever thread has less to do. So both are busy, whatever costs most of a layer. Memory is bounded: the decoder gets
//! what was applied and hashed. `layers` is the only caller.

use crate::Digest;
use crate::digest::Hasher;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A piece's most bytes: enough for a thread to be at it for longer than it takes to wake the other.
pub(super) const CHUNK: usize = 256 << 10;
/// Pieces there are: enough to even out the threads' paces, and little enough to stay in caches; 4 MiB in all.
const CHUNKS: usize = 16;
/// With more pieces to hash than this, the decoder helps.
const MANY: usize = 10;
/// With more pieces to apply than this, the applier has something to do while the decoder hashes one.
const FEW: usize = 2;

/// A piece of a layer, or `None` at its end.
pub(super) type Piece = Option<Arc<Vec<u8>>>;

/// What the threads share.
pub(super) struct Relay {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Memory that nobody uses. Fresh memory costs more to touch than to fill.
    free: Vec<Vec<u8>>,
    to_apply: VecDeque<Piece>,
    to_hash: VecDeque<Piece>,
    /// Absent while a thread hashes.
    hasher: Option<Hasher>,
    /// Of the layers that are hashed.
    digests: Vec<Digest>,
    decoder_waits: bool,
    applier_waits: bool,
    /// No more is decoded.
    ended: bool,
    /// No more is applied.
    unwanted: bool,
}

impl State {
    fn can_hash(&self) -> bool {
        self.hasher.is_some() && !self.to_hash.is_empty()
    }

    /// Keeps the memory of `piece` if this was its last use.
    fn release(&mut self, piece: Piece) {
        self.free.extend(piece.and_then(Arc::into_inner));
    }
}

impl Relay {
    pub(super) fn new() -> Self {
        let state = State {
            free: vec![Vec::new(); CHUNKS],
            to_apply: VecDeque::new(),
            to_hash: VecDeque::new(),
            hasher: Some(Hasher::default()),
            digests: Vec::new(),
            decoder_waits: false,
            applier_waits: false,
            ended: false,
            unwanted: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The decoder's end.
    pub(super) fn sender(&self) -> Sender<'_> {
        Sender(self)
    }

    /// The applier's end.
    pub(super) fn receiver(&self) -> Receiver<'_> {
        Receiver(self)
    }

    /// The digests of the layers that came to their end, when both ends are gone.
    pub(super) fn digests(&self) -> Vec<Digest> {
        let mut state = self.state();
        while state.can_hash() {
            state = self.hash(state);
        }
        std::mem::take(&mut state.digests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes the next piece while others go on.
    fn hash<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (piece, hasher) = (state.to_hash.pop_front().flatten(), state.hasher.take());
        drop(state);
        let mut hasher = hasher.unwrap_or_default();
        let digest = match &piece {
            Some(bytes) => {
                hasher.update(bytes);
                None
            }
            None => Some(std::mem::take(&mut hasher).finish()),
        };
        let mut state = self.state();
        state.hasher = Some(hasher);
        state.digests.extend(digest);
        state.release(piece);
        self.wake(&state);
        state
    }

    fn wake(&self, state: &State) {
        if state.decoder_waits || state.applier_waits {
            self.changed.notify_all();
        }
    }
}

/// The decoder's end. Nothing comes any more when it is dropped.
pub(super) struct Sender<'a>(&'a Relay);

impl Sender<'_> {
    /// Memory for a piece, unless nothing more is wanted. Helps to hash if that is more urgent, or if there is no
    /// memory yet.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.0.state();
        loop {
            let behind = state.to_hash.len() > MANY && state.to_apply.len() > FEW;
            if state.unwanted {
                return None;
            } else if state.can_hash() && (behind || state.free.is_empty()) {
                state = self.0.hash(state);
            } else if let Some(mut bytes) = state.free.pop() {
                drop(state);
                bytes.resize(CHUNK, 0);
                return Some(bytes);
            } else {
                // Whoever holds all memory is at work on it.
                state.decoder_waits = true;
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.decoder_waits = false;
            }
        }
    }

    /// Hands on a piece: to be hashed, to be applied, or both.
    pub(super) fn send(&self, piece: Piece, hash: bool, apply: bool) {
        let mut state = self.0.state();
        if hash {
            state.to_hash.push_back(piece.clone());
        }
        // Moved under the lock: the last to drop a piece has to be one that keeps its memory.
        state.to_apply.extend(apply.then_some(piece));
        self.0.wake(&state);
    }

    /// Gives back memory that was not needed.
    pub(super) fn give_back(&self, bytes: Vec<u8>) {
        self.0.state().free.push(bytes);
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ended = true;
        self.0.wake(&state);
    }
}

/// The applier's end. Nothing is wanted any more when it is dropped.
pub(super) struct Receiver<'a>(&'a Relay);

impl Receiver<'_> {
    /// The next piece, in exchange for the one before. `None` if the decoder has failed.
    pub(super) fn next(&self, last: Piece) -> Option<Piece> {
        let mut state = self.0.state();
        state.release(last);
        self.0.wake(&state);
        loop {
            let ahead = state.to_apply.len();
            // While this thread applies, the decoder can hash.
            let is_behind = ahead > CHUNKS / 2 || (state.decoder_waits && ahead > FEW);
            if state.can_hash() && !is_behind {
                state = self.0.hash(state);
            } else if let Some(piece) = state.to_apply.pop_front() {
                return Some(piece);
            } else if state.ended {
                return None;
            } else {
                state.applier_waits = true;
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.applier_waits = false;
            }
        }
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.unwanted = true;
        self.0.wake(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// What a layer of `pieces` pieces, all different, unpacks to.
    fn layer(pieces: usize) -> impl Iterator<Item = Vec<u8>> {
        (0..pieces).map(|index| index.to_le_bytes().repeat(if index % 7 == 0 { 1 } else { 4096 }))
    }

    fn digest(pieces: usize) -> Digest {
        Digest::of(&layer(pieces).flatten().collect::<Vec<_>>())
    }

    #[test]
    fn pieces_come_in_order_are_hashed_in_order_and_leave_their_memory() {
        let relay = Relay::new();
        let counts = [0, 1, 5 * CHUNKS, 3, 7 * CHUNKS];
        thread::scope(|scope| {
            let sender = relay.sender();
            scope.spawn(move || {
                for (number, count) in counts.iter().enumerate() {
                    for piece in layer(*count) {
                        let mut bytes = sender.take().unwrap();
                        assert_eq!(bytes.len(), CHUNK);
                        bytes.truncate(piece.len());
                        bytes.copy_from_slice(&piece);
                        // As of a layer that is known: what is applied is not what is hashed.
                        if number % 2 == 1 {
                            let mut other = sender.take().unwrap();
                            other.truncate(0);
                            other.extend_from_slice(&bytes);
                            sender.send(Some(Arc::new(other)), true, false);
                        }
                        sender.send(Some(Arc::new(bytes)), number % 2 == 0, true);
                    }
                    sender.give_back(sender.take().unwrap());
                    sender.send(None, true, true);
                }
            });
            let receiver = relay.receiver();
            for count in counts {
                let mut last = None;
                for expected in layer(count) {
                    last = receiver.next(last).unwrap();
                    assert_eq!(**last.as_ref().unwrap(), expected);
                }
                assert_eq!(receiver.next(last), Some(None));
            }
        });
        assert_eq!(relay.digests(), counts.map(digest));
        assert_eq!(relay.state().free.len(), CHUNKS, "memory was lost");
    }

    #[test]
    fn an_end_that_goes_early_does_not_keep_the_other_waiting() {
        let relay = Relay::new();
        let (sender, receiver) = (relay.sender(), relay.receiver());
        drop(sender);
        assert_eq!(receiver.next(None), None, "the decoder failed");

        let relay = Relay::new();
        let (sender, receiver) = (relay.sender(), relay.receiver());
        thread::scope(|scope| {
            // More than there is memory for, of which nothing is applied.
            let decoder = scope.spawn(move || {
                let pieces = std::iter::from_fn(|| sender.take());
                pieces.map(|bytes| sender.send(Some(Arc::new(bytes)), true, true)).count()
            });
            let first = receiver.next(None).unwrap();
            drop((first, receiver));
            assert!(decoder.join().unwrap() <= CHUNKS + 1);
        });
    }
}
