//! The files of an archive, put away while it streams by.

use crate::manifest::{Descriptor, MAX_MANIFEST, MAX_STORED};
use crate::{Digest, ImageError, ImageStore, Result};
use a3s_box_tar::{Entry, EntryKind, TarReader};
use std::collections::HashMap;
use std::io::{BufRead, Read};

/// The most files an archive may have: more than an image with the most layers has.
const MAX_FILES: usize = 100_000;
/// As many links to links as are followed.
const MAX_LINKS: usize = 8;

/// Where a file of the archive went.
enum Member {
    /// Into the store.
    Blob { digest: Digest, size: u64 },
    /// Into memory.
    Text(Vec<u8>),
    /// It is another name of this member.
    Link(String),
}

/// An archive whose files are all in the store or in memory.
pub(super) struct Archive {
    /// What errors call it.
    pub thing: String,
    members: HashMap<String, Member>,
}

impl Archive {
    /// Reads the tar to its end.
    pub(super) fn read(store: &ImageStore, thing: &str, tar: impl BufRead) -> Result<Self> {
        let mut archive = Self { thing: thing.to_owned(), members: HashMap::new() };
        let mut tar = TarReader::new(thing, tar);
        let mut left = MAX_STORED;
        while let Some(entry) = tar.next_entry()? {
            if let EntryKind::File { size, sparse } = &entry.kind {
                if sparse.is_some() {
                    return Err(ImageError::unsupported(thing, "a sparse file"));
                }
                left = left.checked_sub(*size).ok_or_else(|| ImageError::too_large(thing, MAX_STORED))?;
            }
            let path = normal(thing, &entry.path)?;
            if let Some(member) = archive.member(store, &path, entry, &mut tar)? {
                archive.members.insert(path, member);
            }
            if archive.members.len() > MAX_FILES {
                return Err(ImageError::TooLarge {
                    thing: thing.into(),
                    limit: format!("{MAX_FILES} files"),
                });
            }
        }
        Ok(archive)
    }

    fn member(
        &self,
        store: &ImageStore,
        path: &str,
        entry: Entry,
        content: &mut impl Read,
    ) -> Result<Option<Member>> {
        let size = match entry.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Directory => return Ok(None),
            EntryKind::HardLink(target) => return Ok(Some(Member::Link(normal(&self.thing, &target)?))),
            EntryKind::Symlink(target) => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                return Ok(Some(Member::Link(relative(&self.thing, folder, &target)?)));
            }
            _ => return Err(ImageError::unsupported(&self.thing, format!("the device {path:?}"))),
        };
        if matches!(path, "oci-layout" | "index.json" | "manifest.json") {
            if size > MAX_MANIFEST {
                return Err(ImageError::too_large(format!("{path} in {}", self.thing), MAX_MANIFEST));
            }
            let mut text = Vec::new();
            content.read_to_end(&mut text).map_err(|e| ImageError::read(&self.thing, e))?;
            return Ok(Some(Member::Text(text)));
        }
        if let Some(hex) = path.strip_prefix("blobs/sha256/") {
            let blob = Descriptor::new("", format!("sha256:{hex}").parse()?, size);
            if !store.has_blob(&blob) {
                store.write_blob(&blob, content).map_err(|e| self.place(e))?;
            }
            return Ok(Some(Member::Blob { digest: blob.digest, size }));
        }
        // What old versions of Docker put beside each layer, for still older ones.
        if matches!(path.rsplit('/').next(), Some("VERSION" | "json" | "repositories")) {
            return Ok(None);
        }
        let (digest, size) = store.add_blob(&self.thing, content)?;
        Ok(Some(Member::Blob { digest, size }))
    }

    /// Says of damage which archive it is in.
    fn place(&self, error: ImageError) -> ImageError {
        match error {
            ImageError::Corrupt { thing, reason } => {
                ImageError::corrupt(format!("{thing} in {}", self.thing), reason)
            }
            other => other,
        }
    }

    /// Whether it holds an OCI layout.
    pub(super) fn is_layout(&self) -> bool {
        self.members.contains_key("oci-layout") && self.members.contains_key("index.json")
    }

    /// The content of one of the files that are kept in memory.
    pub(super) fn text(&self, path: &str) -> Option<&[u8]> {
        match self.members.get(path) {
            Some(Member::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Digest and size of the file at `path`, links followed.
    pub(super) fn blob(&self, path: &str) -> Result<(Digest, u64)> {
        let mut name = normal(&self.thing, path.as_bytes())?;
        for _ in 0..MAX_LINKS {
            match self.members.get(&name) {
                Some(Member::Blob { digest, size }) => return Ok((*digest, *size)),
                Some(Member::Link(target)) => name = target.clone(),
                Some(Member::Text(_)) | None => break,
            }
        }
        Err(ImageError::corrupt(&self.thing, format!("{path:?} is missing")))
    }
}

/// A path from the archive's root, without `.` and empty parts.
fn normal(thing: &str, path: &[u8]) -> Result<String> {
    relative(thing, "", path)
}

/// The path that `path` means when it is written in `folder`.
fn relative(thing: &str, folder: &str, path: &[u8]) -> Result<String> {
    let refuse = |reason: &str| {
        ImageError::corrupt(thing, format!("path {:?} {reason}", String::from_utf8_lossy(path)))
    };
    let text = std::str::from_utf8(path).map_err(|_| refuse("is not UTF-8"))?;
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => parts.pop().map(drop).ok_or_else(|| refuse("leaves the archive"))?,
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_archive() {
        assert_eq!(normal("x", b"./blobs//sha256/a").unwrap(), "blobs/sha256/a");
        assert_eq!(normal("x", b"/index.json").unwrap(), "index.json");
        assert_eq!(relative("x", "abc", b"../def/layer.tar").unwrap(), "def/layer.tar");
        assert!(normal("x", b"../index.json").is_err());
        assert!(relative("x", "abc", b"../../etc/passwd").is_err());
        assert!(normal("x", b"\xff").is_err());
    }
}
