//! `import`: a tar of a root file system becomes an image of one layer, whose configuration is ours.

use super::{BUFFER, Loaded};
use crate::compression::Compression;
use crate::digest::Hasher;
use crate::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST, Platform};
use crate::{Digest, ImageConfig, ImageError, ImageRef, ImageStore, Result, Step};
use a3s_box_tar::TarReader;
use serde::Serialize;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Pieces of the layer that wait to be unpacked.
const QUEUE: usize = 8;

impl ImageStore {
    /// Makes an image of the root file system whose tar `input` delivers, plain or compressed with gzip or zstd;
    /// errors call it `thing`. The layer is kept as it comes. `created` is the image's date, in RFC 3339.
    pub fn import_root(
        &self,
        thing: &str,
        input: impl Read,
        name: Option<&ImageRef>,
        created: String,
    ) -> Result<Loaded> {
        self.load_with(|| {
            let (layer, diff_id) = self.add_layer(thing, input)?;
            let config = ImageConfig::of_layer(Platform::host(), created, diff_id, format!("import {thing}"));
            let config = self.add_json(OCI_CONFIG, &config)?;
            let top = self.add_json(OCI_MANIFEST, &Manifest::new(config, vec![layer]))?;
            self.import(top.clone(), name, &mut |blob| {
                Err(ImageError::corrupt(thing, format!("blob {} is missing", blob.digest)))
            })?;
            Ok(Loaded { reference: name.cloned(), digest: top.digest })
        })
    }

    /// Stores the layer whose tar `input` delivers, plain or compressed, as it comes; the digest of what it unpacks to.
    pub(super) fn add_layer(&self, thing: &str, input: impl Read) -> Result<(Descriptor, Digest)> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let start = input.fill_buf().map_err(|e| ImageError::read(thing, e))?;
        let compression = Compression::detect(start);
        // The blob's digest and the tar's come of one reading: the input may be a pipe.
        let (sender, chunks) = sync_channel(QUEUE);
        let (stored, unpacked) = thread::scope(|scope| {
            let unpacked = scope.spawn(move || unpack(thing, compression, Pipe::new(chunks)));
            let stored = self.add_blob(thing, Tee { input: &mut input, copy: Some(sender) });
            (stored, unpacked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        // A failure of the input looks like a short tar to the other.
        let (digest, size) = stored?;
        Ok((Descriptor::new(compression.layer_type(), digest, size), unpacked?))
    }

    /// Stores what we made ourselves.
    pub(super) fn add_json(&self, media_type: &str, value: &impl Serialize) -> Result<Descriptor> {
        let json = serde_json::to_vec(value).map_err(|e| ImageError::corrupt("an image of ours", e))?;
        let blob = Descriptor::new(media_type, Digest::of(&json), json.len() as u64);
        self.write_blob(&blob, &json[..])?;
        Ok(blob)
    }
}

/// The digest of the tar, which must be one.
fn unpack(thing: &str, compression: Compression, pipe: Pipe) -> Result<Digest> {
    let decoded =
        compression.decode(BufReader::with_capacity(BUFFER, pipe)).map_err(|e| ImageError::read(thing, e))?;
    let mut tar = TarReader::new(
        thing,
        BufReader::with_capacity(BUFFER, Hashed { inner: decoded, hasher: Hasher::default() }),
    );
    let mut entries = 0;
    while tar.next_entry()?.is_some() {
        entries += 1;
    }
    if entries == 0 {
        return Err(ImageError::unsupported(thing, "a root file system without a file"));
    }
    Ok(tar.into_inner().into_inner().hasher.finish())
}

/// Hands on what it reads to another thread, too.
struct Tee<R> {
    input: R,
    copy: Option<SyncSender<Vec<u8>>>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        match &self.copy {
            // Nobody listens any more: the tar is none, as the other thread says.
            Some(copy) if count > 0 && copy.send(buffer[..count].to_vec()).is_err() => self.copy = None,
            Some(_) if count == 0 => self.copy = None,
            _ => {}
        }
        Ok(count)
    }
}

/// The other end.
struct Pipe {
    chunks: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    used: usize,
}

impl Pipe {
    fn new(chunks: Receiver<Vec<u8>>) -> Self {
        Self { chunks, chunk: Vec::new(), used: 0 }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.chunk.len() {
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            (self.chunk, self.used) = (next, 0);
        }
        let count = (self.chunk.len() - self.used).min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl ImageConfig {
    /// The configuration of an image of one layer that says nothing else.
    fn of_layer(platform: Platform, created: String, diff_id: Digest, created_by: String) -> Self {
        let step = Step { created: Some(created.clone()), created_by, ..Step::default() };
        Self {
            platform,
            created: Some(created),
            config: crate::ProcessConfig::default(),
            rootfs: crate::config::RootfsConfig { kind: "layers".into(), diff_ids: vec![diff_id] },
            history: vec![step],
        }
    }
}
