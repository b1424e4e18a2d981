//! Streams layers through three threads: one decompresses, one hashes, and the caller applies.
//!
//! Decompression is the slowest of the three, so that a rootfs image is built at its speed. What is hashed is the
//! unpacked layer, to hold it against its `diff_id`; or, of a blob that was found to unpack to that before, the blob,
//! which is less.

use crate::compression::Compression;
use crate::digest::Hasher;
use crate::manifest::Descriptor;
use crate::{Digest, ImageError, Result};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Small enough to stay in a core's cache while three threads touch it.
const CHUNK: usize = 256 << 10;
/// Chunks there are: enough to even out the threads' paces, 4 MiB in all.
const CHUNKS: usize = 16;
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

/// A piece of a layer. Its memory is used again when nobody holds it any more: fresh memory costs more to
/// touch than to fill.
struct Chunk {
    bytes: Vec<u8>,
    length: usize,
    free: Sender<Vec<u8>>,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // The decoder may have ended.
        let _ = self.free.send(std::mem::take(&mut self.bytes));
    }
}

/// The memory of chunks.
struct Pool {
    free: Sender<Vec<u8>>,
    to_fill: Receiver<Vec<u8>>,
}

impl Pool {
    fn new() -> Self {
        let (free, to_fill) = channel();
        for _ in 0..CHUNKS {
            let _ = free.send(Vec::new());
        }
        Self { free, to_fill }
    }

    /// Memory for a chunk, when there is some.
    fn take(&self) -> Vec<u8> {
        // It never fails: `free` lives here.
        let mut bytes = self.to_fill.recv().unwrap_or_default();
        bytes.resize(CHUNK, 0);
        bytes
    }

    fn chunk(&self, bytes: Vec<u8>, length: usize) -> Arc<Chunk> {
        Arc::new(Chunk { bytes, length, free: self.free.clone() })
    }
}

/// What consumers hear: a piece of a layer, or `None` at its end.
type Piece = Option<Arc<Chunk>>;

/// Opens a layer's blob.
pub(crate) type Open<'a> = dyn Fn(&Layer) -> Result<Box<dyn Read + Send>> + Sync + 'a;

/// Unpacks `layers`, whose blobs `open` gives, in order and hands each to `apply`, which must read it to its end. A
/// layer that does not unpack to its `diff_id`, a blob that was changed, and more than `limit` bytes in all are errors.
pub(super) fn stream(
    layers: &[Layer],
    open: &Open<'_>,
    limit: u64,
    mut apply: impl FnMut(&Layer, &mut Unpacked) -> Result<()>,
) -> Result<()> {
    let known: Vec<bool> = layers.iter().map(Layer::is_known).collect();
    thread::scope(|scope| {
        let (to_apply, pieces) = channel();
        let (to_hash, hash_pieces) = channel();
        let decoder = scope.spawn(|| {
            let decoder = Decoder { open, known: &known, pool: Pool::new(), to_apply, to_hash };
            decoder.run(layers, limit)
        });
        let hasher = scope.spawn(move || hash(&hash_pieces));
        let mut unpacked = Unpacked { pieces, chunk: None, used: 0, ended: false };
        let applied = layers.iter().try_for_each(|layer| {
            unpacked.ended = false;
            apply(layer, &mut unpacked)
        });
        // The decoder stops at its next chunk when nobody takes it any more.
        drop(unpacked);
        let decoded = decoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let digests = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A decoder's failure looks like a short layer to the others, so it is the one to report.
        decoded?;
        applied?;
        for ((layer, known), digest) in layers.iter().zip(&known).zip(digests) {
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
    })
}

struct Decoder<'a> {
    open: &'a Open<'a>,
    /// Of each layer, whether it is known what its blob unpacks to.
    known: &'a [bool],
    pool: Pool,
    to_apply: Sender<Piece>,
    to_hash: Sender<Piece>,
}

impl Decoder<'_> {
    fn run(self, layers: &[Layer], limit: u64) -> Result<()> {
        let mut left = limit;
        for (layer, known) in layers.iter().zip(self.known) {
            let name = layer.name();
            let failed = |e| ImageError::read(&name, e);
            let compression = Compression::of_layer(&name, &layer.descriptor)?;
            let blob = (self.open)(layer)?;
            let to_hash = known.then(|| (Pool::new(), self.to_hash.clone()));
            let mut blob = BufReader::with_capacity(CHUNK, Tap { blob, to_hash });
            let mut source = compression.decode(&mut blob).map_err(failed)?;
            loop {
                let mut bytes = self.pool.take();
                let length = fill(&mut *source, &mut bytes).map_err(failed)?;
                let chunk = self.pool.chunk(bytes, length);
                if length == 0 {
                    break;
                }
                left = left
                    .checked_sub(length as u64)
                    .ok_or_else(|| ImageError::too_large(format!("the unpacked {name}"), limit))?;
                let unheard = !known && self.to_hash.send(Some(Arc::clone(&chunk))).is_err();
                if self.to_apply.send(Some(chunk)).is_err() || unheard {
                    return Ok(());
                }
            }
            drop(source);
            // What lies behind the compressed data belongs to the blob, too.
            io::copy(&mut blob, &mut io::sink()).map_err(failed)?;
            let _ = (self.to_hash.send(None), self.to_apply.send(None));
        }
        Ok(())
    }
}

/// A blob that is hashed as it is read, where it is to be hashed.
struct Tap {
    blob: Box<dyn Read + Send>,
    to_hash: Option<(Pool, Sender<Piece>)>,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((pool, to_hash)) = &self.to_hash else { return self.blob.read(buffer) };
        let most = buffer.len().min(CHUNK);
        let length = self.blob.read(&mut buffer[..most])?;
        let mut bytes = pool.take();
        bytes[..length].copy_from_slice(&buffer[..length]);
        // Whoever hashes stops only when nothing of this is wanted any more.
        let _ = to_hash.send(Some(pool.chunk(bytes, length)));
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

fn hash(pieces: &Receiver<Piece>) -> Vec<Digest> {
    let mut digests = Vec::new();
    let mut hasher = Hasher::default();
    for piece in pieces {
        match piece {
            Some(chunk) => hasher.update(&chunk),
            None => digests.push(std::mem::take(&mut hasher).finish()),
        }
    }
    digests
}

/// The unpacked bytes of one layer after the other.
pub(super) struct Unpacked {
    pieces: Receiver<Piece>,
    chunk: Piece,
    used: usize,
    ended: bool,
}

impl BufRead for Unpacked {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.chunk.as_ref().map_or(0, |chunk| chunk.len()) && !self.ended {
            // Given back before the wait, or the decoder might wait for it.
            self.chunk = None;
            self.used = 0;
            self.chunk = self.pieces.recv().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            self.ended = self.chunk.is_none();
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.used..]))
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}
