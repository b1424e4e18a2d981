//! The end of a pull that has failed: whatever else is under way for it stops.

use crate::ImageError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a pull has failed, and whether that was for lack of room.
#[derive(Debug, Default)]
pub(super) struct Stop {
    failed: AtomicBool,
    full: AtomicBool,
}

impl Stop {
    /// The pull has failed with `error`. Whether it had before.
    pub(super) fn fail(&self, error: &ImageError) -> bool {
        if error.is_out_of_space() {
            self.full.store(true, Ordering::Release);
        }
        self.failed.swap(true, Ordering::AcqRel)
    }

    /// Whether the pull has failed.
    pub(super) fn is_set(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether the disk is full: then nothing that could be continued may stay and keep it so.
    pub(super) fn is_for_room(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }
}
