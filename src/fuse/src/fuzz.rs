//! The server as the fuzz target and the mutation test feed it: any bytes, as messages one after the other.

use crate::reply::Reply;
use crate::share::{Export, Share};
use crate::wire::{IN_HEADER, opcode};
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// A share of `folder`.
///
/// # Panics
/// Where the folder cannot be served.
#[must_use]
pub fn share(folder: &Path) -> Share {
    let root = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a folder");
    let export = Export { root, read_only: false, hidden: None, descriptors: 256 };
    Share::new(export).expect("a share")
}

/// A share of `folder` that has begun.
///
/// # Panics
/// As [`share`].
#[must_use]
pub fn begun(folder: &Path) -> Share {
    let share = share(folder);
    let mut init = vec![0; IN_HEADER];
    init[4..8].copy_from_slice(&opcode::INIT.to_ne_bytes());
    for number in [7, 38, 0, u32::MAX] {
        init.extend_from_slice(&u32::to_ne_bytes(number));
    }
    messages(&share, &init);
    share
}

/// Answers messages as long as they say they are; the last one is as long as what is there.
///
/// # Panics
/// Where an answer does not hold together.
pub fn messages(share: &Share, mut bytes: &[u8]) {
    let mut reply = Reply::new();
    while bytes.len() >= IN_HEADER {
        let length =
            crate::whole(bytes).filter(|n| (IN_HEADER..bytes.len()).contains(n)).unwrap_or(bytes.len());
        let (head, rest) = bytes.split_at(length);
        bytes = rest;
        let mut message = head.to_vec();
        message[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        match share.answer(&message, &mut reply) {
            Ok(Some(answer)) => assert_eq!(crate::whole(answer), Some(answer.len())),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}
