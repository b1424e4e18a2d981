//! The server as the fuzz targets and the mutation test feed it: any bytes, as one message.

use crate::reply::Reply;
use crate::share::{Export, Share};
use rustix::fs::{Mode, OFlags};

/// A share of `folder` that has begun.
///
/// # Panics
/// Where the folder cannot be served.
#[must_use]
pub fn share(folder: &std::path::Path) -> Share {
    let root = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a folder");
    let export = Export { root, read_only: false, hidden: None, descriptors: 256 };
    Share::new(export).expect("a share")
}

/// Answers `message`, whose length is put right. The answer must say how long it is.
///
/// # Panics
/// Where the answer does not hold together.
pub fn message(share: &Share, message: &[u8]) {
    let mut message = message.to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    if let Some(head) = message.first_chunk_mut::<4>() {
        *head = length.to_ne_bytes();
    }
    let mut reply = Reply::new();
    if let Ok(Some(answer)) = share.answer(&message, &mut reply) {
        assert_eq!(crate::whole(answer), Some(answer.len()));
    }
}
