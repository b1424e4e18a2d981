//! `pull`: images from OCI distribution registries (OCI distribution spec v1.1; Docker's are the same).
//!
//! Plain HTTP is spoken only with registries on this machine; everything else is HTTPS. A registry counts as
//! hostile: answers are bounded, and what comes is stored only if it has the digest and size that lead to it.

mod auth;
mod client;

pub use auth::Credentials;

use crate::digest::Digest;
use crate::manifest::{Descriptor, NodeKind};
use crate::{Image, ImageError, ImageRef, ImageStore, Result};
use client::Client;
use std::cell::RefCell;
use std::io::{self, Read};

/// What happens during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// The registry said what the reference means.
    Resolved {
        /// The digest of the index or manifest.
        digest: Digest,
    },
    /// A blob begins to come. What the store has already does not.
    Started {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// More of a blob came.
    Received {
        /// The blob.
        digest: Digest,
        /// Bytes that came so far.
        bytes: u64,
    },
}

impl ImageStore {
    /// Pulls the image that `reference` means for this host's platform, and tells `progress` how it goes.
    ///
    /// The image gets its name when all of it is in the store. Layers that came whole before a failure stay
    /// until garbage is collected, so that the next try need not get them again.
    pub fn pull(
        &self,
        reference: &ImageRef,
        credentials: Option<Credentials>,
        progress: &mut dyn FnMut(PullEvent),
    ) -> Result<Image> {
        let lease = self.lease()?;
        let client = RefCell::new(Client::new(reference, credentials));
        let progress = RefCell::new(progress);
        let (top, json) = client.borrow_mut().manifest(reference)?;
        (progress.borrow_mut())(PullEvent::Resolved { digest: top.digest });
        if !self.has_blob(&top) {
            self.write_blob(&top, &json[..])?;
        }
        self.import(top.clone(), Some(reference), &mut |blob| {
            let body = if NodeKind::of(blob).is_ok() {
                client.borrow_mut().manifest_body(blob)?
            } else {
                client.borrow_mut().blob(blob)?
            };
            let (digest, size) = (blob.digest, blob.size);
            (progress.borrow_mut())(PullEvent::Started { digest, size });
            Ok(Box::new(Watched { body, progress: &progress, digest, bytes: 0 }))
        })?;
        drop(lease);
        self.resolve(&reference.to_string())
    }
}

/// A body that reports how much of it was read.
struct Watched<'a, 'p> {
    body: Box<dyn Read>,
    progress: &'a RefCell<&'p mut dyn FnMut(PullEvent)>,
    digest: Digest,
    bytes: u64,
}

impl Read for Watched<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What the connection lacks is not the content's fault, whatever kind of error it is called below.
        let cut = |e| io::Error::new(io::ErrorKind::ConnectionAborted, e);
        let count = self.body.read(buffer).map_err(cut)?;
        self.bytes += count as u64;
        (self.progress.borrow_mut())(PullEvent::Received { digest: self.digest, bytes: self.bytes });
        Ok(count)
    }
}
