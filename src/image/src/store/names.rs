//! `index.json`: which images there are, and what they are called.

use super::{ImageStore, PATIENCE};
use crate::manifest::{Descriptor, Index, Platform, REF_NAME};
use crate::{Digest, ImageError, ImageRef, Loaded, Result};
use a3s_box_files::{Lock, Scratch};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

/// The largest `index.json` that is read: room for 100,000 images.
const MAX_INDEX: u64 = 64 << 20;
/// The annotation of what was pulled: it may go when room is needed, since it can come again. What a user loaded,
/// imported or named is the user's.
pub(super) const PULLED: &str = "dev.a3s.box.pulled";
/// Fewer digits are taken for a name: `cafe` must not run an image whose digest happens to begin so.
const MIN_PREFIX: usize = 6;

/// What images were called at one moment.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<Descriptor>);

impl ImageStore {
    /// The entries of `index.json`.
    pub(super) fn names(&self) -> Result<Vec<Descriptor>> {
        let path = self.dir.join("index.json");
        let mut json = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_INDEX).read_to_end(&mut json)) {
            Ok(_) => Ok(Index::parse(&path.display().to_string(), &json)?.manifests),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(ImageError::io("read", &path)(e)),
        }
    }

    /// Changes the entries of `index.json`, one process at a time.
    pub(super) fn change_names<T>(
        &self,
        change: impl FnOnce(&mut Vec<Descriptor>) -> Result<T>,
    ) -> Result<T> {
        let lock = self.dir.join("index.lock");
        let _lock = Lock::exclusive(&lock, PATIENCE).map_err(ImageError::lock(&lock))?;
        let mut entries = self.names()?;
        let result = change(&mut entries)?;
        let json =
            serde_json::to_vec(&Index::new(entries)).map_err(|e| ImageError::corrupt("index.json", e))?;
        let path = self.dir.join("index.json");
        Scratch::write(&path, &json).map_err(ImageError::io("write", &path))?;
        Ok(result)
    }

    /// What images are called now, for [`ImageStore::take_back`].
    pub fn catalogue(&self) -> Result<Catalogue> {
        self.names().map(Catalogue)
    }

    /// Forgets the images of `loaded` that were not there `before`, and gives their names back.
    pub fn take_back(&self, loaded: &[Loaded], before: Catalogue) -> Result<()> {
        self.change_names(|entries| {
            let came = |entry: &Descriptor| loaded.iter().any(|image| image.digest == entry.digest);
            entries.retain(|entry| before.0.contains(entry) || !came(entry));
            for old in before.0 {
                let name = old.annotation(REF_NAME);
                let taken = |entry: &Descriptor| name.is_some() && entry.annotation(REF_NAME) == name;
                if !entries.contains(&old) && !entries.iter().any(taken) {
                    entries
                        .retain(|entry| entry.digest != old.digest || entry.annotation(REF_NAME).is_some());
                    entries.push(old);
                }
            }
            Ok(())
        })?;
        self.collect_garbage(None)
    }

    /// The digests of all images, one for each name.
    pub fn digests(&self) -> Result<Vec<Digest>> {
        Ok(self.names()?.iter().map(|entry| entry.digest).collect())
    }

    /// The names of the image `digest`.
    pub fn references(&self, digest: Digest) -> Result<Vec<ImageRef>> {
        let entries = self.names()?;
        let names =
            entries.iter().filter(|entry| entry.digest == digest).filter_map(|e| e.annotation(REF_NAME));
        names.map(str::parse).collect()
    }

    /// Gives the image that `source` means the further name `target`, taking it from whatever had it.
    pub fn tag(&self, source: &str, target: &ImageRef) -> Result<()> {
        let entry = self.find(source)?;
        let platform = entry.platform.clone();
        self.name_for(entry, Some(target), platform.as_ref())
    }

    /// Enters the image `top` of this host's platform under `reference`, or without a name where it has none yet.
    pub(super) fn name(&self, top: Descriptor, reference: Option<&ImageRef>) -> Result<()> {
        self.name_for(top, reference, None)
    }

    /// As `name`; `platform` is the image's where it is not this host's.
    pub(crate) fn name_for(
        &self,
        mut top: Descriptor,
        reference: Option<&ImageRef>,
        platform: Option<&Platform>,
    ) -> Result<()> {
        top.annotations = None;
        top.platform = platform.cloned();
        self.enter(top, reference)
    }

    /// As `name_for`, for an image that a registry gave, and can give again.
    pub(crate) fn name_pulled(
        &self,
        mut top: Descriptor,
        reference: &ImageRef,
        platform: Option<&Platform>,
    ) -> Result<()> {
        top.annotations = Some(BTreeMap::from([(PULLED.to_owned(), "true".to_owned())]));
        top.platform = platform.cloned();
        self.enter(top, Some(reference))
    }

    fn enter(&self, mut top: Descriptor, reference: Option<&ImageRef>) -> Result<()> {
        self.change_names(|entries| {
            let Some(reference) = reference else {
                if !entries.iter().any(|entry| entry.digest == top.digest) {
                    entries.push(top);
                }
                return Ok(());
            };
            let name = reference.to_string();
            take_name(entries, &name);
            // An entry without a name is there only to keep its image.
            entries.retain(|entry| entry.digest != top.digest || entry.annotation(REF_NAME).is_some());
            top.annotations.get_or_insert_default().insert(REF_NAME.to_owned(), name);
            entries.push(top);
            Ok(())
        })
    }

    /// The entry that `name` means.
    pub(super) fn find(&self, name: &str) -> Result<Descriptor> {
        let entries = self.names()?;
        let references: Vec<ImageRef> =
            entries.iter().filter_map(|entry| entry.annotation(REF_NAME)?.parse().ok()).collect();
        let not_found = || {
            let names: Vec<String> =
                references.iter().flat_map(|r| [r.familiar_name(), r.familiar()]).collect();
            let meant = a3s_box_core::did_you_mean(name, names.iter().map(String::as_str));
            ImageError::NotFound { name: name.to_owned(), meant }
        };
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        let reference = name.parse::<ImageRef>();
        if let Ok(reference) = &reference
            && let Some(entry) = entries.iter().find(|entry| is_called(entry, reference))
        {
            return Ok(entry.clone());
        }
        // A whole digest needs no look into the images.
        if let Ok(digest) = format!("sha256:{digits}").parse::<Digest>()
            && let Some(entry) = entries.iter().find(|entry| entry.digest == digest)
        {
            return Ok(entry.clone());
        }
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !(MIN_PREFIX..=64).contains(&digits.len()) || !digits.bytes().all(hex) {
            return Err(reference.map_or_else(|e| e, |_| not_found()));
        }
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for entry in entries {
            // A damaged image still has its own digest to be found and removed by.
            let id = self.read_image(&entry).ok().map(|(manifest, _)| manifest.config.digest);
            if entry.digest.hex().starts_with(digits) || id.is_some_and(|id| id.hex().starts_with(digits)) {
                found.entry(entry.digest).or_insert(entry);
            }
        }
        match found.len() {
            0 => Err(not_found()),
            1 => found.into_values().next().ok_or_else(not_found),
            count => Err(ImageError::Ambiguous { prefix: digits.to_owned(), count }),
        }
    }
}

/// Whether `entry` is what `reference` means: its very name, or its repository pinned by its digest.
pub(super) fn is_called(entry: &Descriptor, reference: &ImageRef) -> bool {
    let Some(name) = entry.annotation(REF_NAME) else { return false };
    if name == reference.to_string() {
        return true;
    }
    let same_repository = |name: &ImageRef| {
        name.registry() == reference.registry() && name.repository() == reference.repository()
    };
    reference.digest() == Some(entry.digest) && name.parse().is_ok_and(|name| same_repository(&name))
}

/// Takes `name` from its image, which stays, without a name if that was its only one.
fn take_name(entries: &mut Vec<Descriptor>, name: &str) {
    let Some(index) = entries.iter().position(|entry| entry.annotation(REF_NAME) == Some(name)) else {
        return;
    };
    let mut old = entries.remove(index);
    if !entries.iter().any(|entry| entry.digest == old.digest) {
        old.annotations = None;
        entries.push(old);
    }
}
