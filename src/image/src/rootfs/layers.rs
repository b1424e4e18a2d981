//! Streams layers through two threads: one decompresses, the caller applies, and both hash.
//!
//! What is hashed is the unpacked layer, to hold it against its `diff_id`; or, of a blob that was found to unpack to
//! that before, the blob, which is less.

use super::relay::{CHUNK, Piece, Receiver, Relay, Sender};
use crate::compression::Compression;
use crate::manifest::Descriptor;
use crate::{Digest, ImageError, Result};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// What a blob is known to unpack to: an extended attribute of its file.
const UNPACKS_TO: &str = "user.a3s.diff-id";

/// One layer of an image: its blob, and the digest that it unpacks to.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The blob's file.
    pub blob: PathBuf,
    /// The blob's media type, digest and size.
    pub descriptor: Descriptor,
    /// The digest of the unpacked tar.
    pub diff_id: Digest,
}

impl Layer {
    /// What errors call it.
    pub(super) fn name(&self) -> String {
        format!("layer {}", self.descriptor.digest)
    }

    /// Whether the blob, if it is what it should be, is known to unpack to `diff_id`.
    fn is_known(&self) -> bool {
        let mut known = [0; 128];
        let length = getxattr(&self.blob, UNPACKS_TO, &mut known[..]);
        length.is_ok_and(|length| known[..length] == *self.diff_id.to_string().as_bytes())
    }

    /// Notes that the blob unpacks to `diff_id`. Where that cannot be noted, it is found out again.
    pub(super) fn note_known(&self) {
        let _ = setxattr(&self.blob, UNPACKS_TO, self.diff_id.to_string().as_bytes(), XattrFlags::empty());
    }
}

/// Opens a layer's blob.
pub(crate) type Open<'a> = dyn Fn(&Layer) -> Result<Box<dyn Read + Send>> + Sync + 'a;

/// Unpacks `layers`, whose blobs `open` gives, in order and hands each to `apply`, which must read it to its end. A
/// layer that does not unpack to its `diff_id`, a blob that was changed, and more than `limit` bytes in all are errors.
pub(super) fn stream(
    layers: &[Layer],
    open: &Open<'_>,
    limit: u64,
    mut apply: impl FnMut(&Layer, &mut Unpacked<'_>) -> Result<()>,
) -> Result<()> {
    let known: Vec<bool> = layers.iter().map(Layer::is_known).collect();
    let relay = Relay::new();
    let (decoded, applied) = thread::scope(|scope| {
        let sender = relay.sender();
        let decoder = scope.spawn(|| decode(layers, &known, open, limit, sender));
        let mut unpacked = Unpacked { relay: relay.receiver(), chunk: None, used: 0, ended: false };
        let applied = layers.iter().try_for_each(|layer| {
            unpacked.ended = false;
            apply(layer, &mut unpacked)
        });
        // The decoder stops at its next chunk when nobody wants it any more.
        drop(unpacked);
        (decoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), applied)
    });
    // A decoder's failure looks like a short layer to the applier, so it is the one to report.
    decoded?;
    applied?;
    for ((layer, known), digest) in layers.iter().zip(&known).zip(relay.digests()) {
        let corrupt = |reason| Err(ImageError::corrupt(layer.name(), reason));
        match known {
            true if digest != layer.descriptor.digest => {
                return corrupt(format!("its blob's digest is {digest}"));
            }
            false if digest != layer.diff_id => return corrupt(format!("it unpacks to {digest}")),
            _ => {}
        }
    }
    Ok(())
}

/// Decodes `layers`; of those that are `known`, the blob is to be hashed, of the others what it unpacks to.
fn decode(layers: &[Layer], known: &[bool], open: &Open<'_>, limit: u64, relay: Sender<'_>) -> Result<()> {
    let mut left = limit;
    for (layer, known) in layers.iter().zip(known) {
        let name = layer.name();
        let failed = |e| ImageError::read(&name, e);
        let compression = Compression::of_layer(&name, &layer.descriptor)?;
        let blob = (open)(layer)?;
        let to_hash = known.then_some(&relay);
        let mut blob = BufReader::with_capacity(CHUNK, Tap { blob, to_hash });
        let mut source = compression.decode(&mut blob).map_err(failed)?;
        loop {
            let Some(mut bytes) = relay.take() else { return Ok(()) };
            let length = fill(&mut *source, &mut bytes).map_err(failed)?;
            if length == 0 {
                relay.give_back(bytes);
                break;
            }
            left = left
                .checked_sub(length as u64)
                .ok_or_else(|| ImageError::too_large(format!("the unpacked {name}"), limit))?;
            bytes.truncate(length);
            relay.send(Some(Arc::new(bytes)), !known, true);
        }
        drop(source);
        // What lies behind the compressed data belongs to the blob, too.
        io::copy(&mut blob, &mut io::sink()).map_err(failed)?;
        relay.send(None, true, true);
    }
    Ok(())
}

/// A blob that is hashed as it is read, if it is to be hashed.
struct Tap<'a> {
    blob: Box<dyn Read + Send>,
    to_hash: Option<&'a Sender<'a>>,
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(CHUNK);
        let length = self.blob.read(&mut buffer[..most])?;
        // If nothing more is wanted, nobody asks for the digest.
        if let Some((relay, mut bytes)) = self.to_hash.and_then(|relay| Some((relay, relay.take()?))) {
            bytes.truncate(length);
            bytes.copy_from_slice(&buffer[..length]);
            relay.send(Some(Arc::new(bytes)), true, false);
        }
        Ok(length)
    }
}

/// Reads until `buffer` is full or `source` has ended; how much.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Opens a layer's blob in the store.
pub(super) fn open_stored(layer: &Layer) -> Result<Box<dyn Read + Send>> {
    let name = layer.name();
    let file = File::open(&layer.blob).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => ImageError::corrupt(&name, "its blob is missing"),
        _ => ImageError::io("open", &layer.blob)(e),
    })?;
    let size = file.metadata().map_err(ImageError::io("read", &layer.blob))?.len();
    if size != layer.descriptor.size {
        let reason = format!("its blob has {size} bytes in place of {}", layer.descriptor.size);
        return Err(ImageError::corrupt(&name, reason));
    }
    Ok(Box::new(file))
}

/// The unpacked bytes of one layer after the other.
pub(super) struct Unpacked<'a> {
    relay: Receiver<'a>,
    chunk: Piece,
    used: usize,
    ended: bool,
}

impl BufRead for Unpacked<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.chunk.as_ref().map_or(0, |chunk| chunk.len()) && !self.ended {
            let last = self.chunk.take();
            self.used = 0;
            self.chunk = self.relay.next(last).ok_or(io::ErrorKind::UnexpectedEof)?;
            self.ended = self.chunk.is_none();
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.used..]))
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
