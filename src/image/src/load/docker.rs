//! What `docker save` wrote before it wrote OCI layouts, and other tools still do: `manifest.json` names the
//! configuration and the layers by paths, without digests (moby image spec v1.2, combined image JSON).

use super::archive::Archive;
use super::{Loaded, name_for};
use crate::compression::Compression;
use crate::manifest::{Descriptor, MAX_CONFIG, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::{Digest, ImageError, ImageRef, ImageStore, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// Loads the images of `archive`, whose files are in the store already.
pub(super) fn load(store: &ImageStore, archive: &Archive, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
    let thing = &archive.thing;
    let json = archive
        .text("manifest.json")
        .ok_or_else(|| ImageError::unsupported(thing, "an archive without index.json and manifest.json"))?;
    let images: Vec<Saved> = serde_json::from_slice(json).map_err(|e| ImageError::corrupt(thing, e))?;
    if images.is_empty() {
        return Err(ImageError::corrupt(thing, "it holds no image"));
    }
    let mut loaded = Vec::new();
    for image in &images {
        let top = manifest(store, archive, image)?;
        let tags = image.repo_tags.as_deref().unwrap_or_default();
        let mut own: Vec<_> = tags.iter().map(|tag| tag.parse().map(Some)).collect::<Result<_>>()?;
        if own.is_empty() || name.is_some() {
            own = vec![None];
        }
        for tag in own {
            let reference = name_for(thing, images.len(), tag, name)?;
            store.import(top.clone(), reference.as_ref(), &mut |blob| {
                Err(ImageError::corrupt(thing, format!("blob {} is missing", blob.digest)))
            })?;
            loaded.push(Loaded { reference, digest: top.digest });
        }
    }
    Ok(loaded)
}

/// Writes the manifest that the image would have in a registry; its descriptor.
fn manifest(store: &ImageStore, archive: &Archive, image: &Saved) -> Result<Descriptor> {
    let (digest, size) = archive.blob(&image.config)?;
    if size > MAX_CONFIG {
        return Err(ImageError::too_large(format!("{} in {}", image.config, archive.thing), MAX_CONFIG));
    }
    let config = Descriptor::new(OCI_CONFIG, digest, size);
    let layer = |path: &String| {
        let (digest, size) = archive.blob(path)?;
        let compression = Compression::detect(&store.blob_start(digest)?);
        Ok(Descriptor::new(compression.layer_type(), digest, size))
    };
    let layers = image.layers.iter().map(layer).collect::<Result<_>>()?;
    let json = serde_json::to_vec(&Manifest::new(config, layers))
        .map_err(|e| ImageError::corrupt(&archive.thing, e))?;
    let top = Descriptor::new(OCI_MANIFEST, Digest::of(&json), json.len() as u64);
    store.write_blob(&top, &json[..])?;
    Ok(top)
}
