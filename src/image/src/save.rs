//! `save`: images as an archive that is both an OCI layout and what `docker load` reads.

use crate::digest::VerifyingReader;
use crate::manifest::{Descriptor, Index, Manifest, NodeKind, REF_NAME};
use crate::store::MAX_NESTING;
use crate::{Digest, Image, ImageError, ImageStore, Result};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};

const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;
/// The annotation by which containerd and Docker name an image in full.
const FULL_NAME: &str = "io.containerd.image.name";

impl ImageStore {
    /// Writes the images that `names` mean to `out`; errors call it `thing`. Blobs are verified on the way, so that
    /// an archive that ends well is whole.
    pub fn save(&self, names: &[String], thing: &str, out: impl Write) -> Result<()> {
        let _lease = self.lease()?;
        let mut tops = Vec::new();
        let mut images: Vec<Image> = Vec::new();
        for name in names {
            let image = self.resolve(name)?;
            let entry = self.entry(name)?;
            let mut notes = BTreeMap::new();
            if let Some(reference) = &image.reference {
                notes.insert(FULL_NAME.to_owned(), reference.to_string());
                notes.extend(reference.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
            }
            let top = Descriptor { annotations: (!notes.is_empty()).then_some(notes), ..entry };
            if !tops.contains(&top) {
                tops.push(top);
                images.push(image);
            }
        }
        let mut archive = Archive { out, thing };
        archive.folder("blobs/")?;
        archive.folder("blobs/sha256/")?;
        let mut written = HashSet::new();
        for (top, image) in tops.iter().zip(&images) {
            self.save_node(&mut archive, top, MAX_NESTING, &mut written)?;
            // What is missing of other platforms is not ours to give; what is missing of this one is damage.
            for blob in image.manifest.layers.iter().chain([&image.manifest.config]) {
                self.save_blob(&mut archive, blob, &mut written)?;
            }
        }
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.json("index.json", &Index::new(tops))?;
        archive.json("manifest.json", &docker_manifest(&images))?;
        archive.end()
    }

    /// Writes an index or manifest, and of what is below it all that is there.
    fn save_node(
        &self,
        archive: &mut Archive<'_, impl Write>,
        node: &Descriptor,
        depth: usize,
        written: &mut HashSet<Digest>,
    ) -> Result<()> {
        let json = self.read_blob(node)?;
        if written.insert(node.digest) {
            archive.file(&path(node.digest), &json)?;
        }
        let thing = format!("image {}", node.digest);
        match NodeKind::of(node)? {
            NodeKind::Index if depth > 0 => {
                for child in Index::parse(&thing, &json)?.manifests {
                    if self.has_blob(&child) && NodeKind::of(&child).is_ok() {
                        self.save_node(archive, &child, depth - 1, written)?;
                    }
                }
            }
            NodeKind::Index => {}
            NodeKind::Manifest => {
                let Ok(manifest) = Manifest::parse(&thing, &json) else { return Ok(()) };
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    if self.has_blob(blob) {
                        self.save_blob(archive, blob, written)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn save_blob(
        &self,
        archive: &mut Archive<'_, impl Write>,
        blob: &Descriptor,
        written: &mut HashSet<Digest>,
    ) -> Result<()> {
        if !written.insert(blob.digest) {
            return Ok(());
        }
        let file = self.blob_path(blob.digest);
        let thing = format!("blob {}", blob.digest);
        let content = File::open(&file).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => ImageError::corrupt(&thing, "it is missing"),
            _ => ImageError::io("open", &file)(e),
        })?;
        archive.stream(
            &path(blob.digest),
            blob.size,
            &thing,
            VerifyingReader::new(content, blob.digest, blob.size),
        )
    }
}

/// The table of contents that Docker read before it read OCI layouts, and old versions still do.
fn docker_manifest(images: &[Image]) -> serde_json::Value {
    let entries = images.iter().map(|image| {
        let tagged = image.reference.iter().filter(|reference| reference.tag().is_some());
        let tags: Vec<String> = tagged.map(|reference| reference.by_tag().familiar()).collect();
        let layers: Vec<String> = image.manifest.layers.iter().map(|layer| path(layer.digest)).collect();
        json!({"Config": path(image.id()), "RepoTags": tags, "Layers": layers})
    });
    entries.collect()
}

fn path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A tar in the making (POSIX ustar), without dates and owners: the same images give the same bytes.
struct Archive<'a, W> {
    out: W,
    thing: &'a str,
}

impl<W: Write> Archive<'_, W> {
    fn folder(&mut self, name: &str) -> Result<()> {
        self.header(name, b'5', 0o755, 0)
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.stream(name, content.len() as u64, name, content)
    }

    fn json(&mut self, name: &str, value: &impl serde::Serialize) -> Result<()> {
        let json = serde_json::to_vec(value).map_err(|e| ImageError::corrupt(name, e))?;
        self.file(name, &json)
    }

    /// Writes `size` bytes of `content`, which errors call `source`.
    fn stream(&mut self, name: &str, size: u64, source: &str, mut content: impl Read) -> Result<()> {
        self.header(name, b'0', 0o644, size)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.write(&buffer[..count])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ImageError::read(source, e)),
            }
        }
        let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or_default();
        self.write(&[0; BLOCK][..padding])
    }

    fn header(&mut self, name: &str, kind: u8, mode: u32, size: u64) -> Result<()> {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        if size < 1 << 33 {
            put(124, format!("{size:011o}").as_bytes());
        } else {
            // Binary, as GNU and all others do for what does not fit eleven digits.
            put(124, &[0x80, 0, 0, 0]);
            put(128, &size.to_be_bytes());
        }
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.write(&block)
    }

    fn end(mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK])?;
        self.out.flush().map_err(|e| self.failed(e))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| self.failed(e))
    }

    fn failed(&self, source: io::Error) -> ImageError {
        ImageError::Io { action: format!("write {}", self.thing), source }
    }
}
