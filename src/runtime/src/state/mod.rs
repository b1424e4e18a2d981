//! `boxes.json` and what is derived from it.
//!
//! A record says what a box is; it does not say what it does. That is derived at every look, from the run lock
//! that a living shim holds and from the `status.json` that it writes, so no crash can make a record lie.

mod look;
mod record;
mod records;

pub(crate) use look::{Look, look};
pub use record::{BoxRecord, ImagePin};
pub(crate) use records::{Records, State};
