//! OCI image layouts (OCI image spec, image layout), as folders and inside archives.

use super::archive::Archive;
use super::{Loaded, name_for};
use crate::manifest::{Descriptor, Index, MAX_MANIFEST, Platform, REF_NAME};
use crate::store::Source;
use crate::{ImageError, ImageRef, ImageStore, Result};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The annotation by which containerd and Docker name an image in full.
const FULL_NAME: &str = "io.containerd.image.name";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// Loads the images of the layout in `folder`.
pub(super) fn load_folder(store: &ImageStore, folder: &Path, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
    let thing = folder.display().to_string();
    let marker = read(&folder.join("oci-layout"))
        .map_err(|_| ImageError::unsupported(&thing, "a folder that is no OCI image layout"))?;
    let index = read(&folder.join("index.json"))?;
    import(store, &thing, &marker, &index, name, &mut |blob| {
        let path = folder.join("blobs/sha256").join(blob.digest.hex());
        // Anything but a file, such as a pipe, could block for ever.
        if !fs::metadata(&path).is_ok_and(|data| data.is_file()) {
            return Err(missing(&thing, blob));
        }
        Ok(Box::new(File::open(&path).map_err(ImageError::io("open", &path))?))
    })
}

/// Loads the images of the layout in `archive`, whose blobs are in the store already.
pub(super) fn load_archive(
    store: &ImageStore,
    archive: &Archive,
    name: Option<&ImageRef>,
) -> Result<Vec<Loaded>> {
    let [marker, index] = ["oci-layout", "index.json"].map(|path| archive.text(path).unwrap_or_default());
    import(store, &archive.thing, marker, index, name, &mut |blob| Err(missing(&archive.thing, blob)))
}

fn import(
    store: &ImageStore,
    thing: &str,
    marker: &[u8],
    index: &[u8],
    name: Option<&ImageRef>,
    source: &mut Source<'_>,
) -> Result<Vec<Loaded>> {
    let marker: Marker = serde_json::from_slice(marker).map_err(|e| ImageError::corrupt(thing, e))?;
    if !marker.image_layout_version.starts_with("1.") {
        return Err(ImageError::unsupported(
            thing,
            format!("layout version {:?}", marker.image_layout_version),
        ));
    }
    let index = Index::parse(thing, index)?;
    if index.manifests.is_empty() {
        return Err(ImageError::corrupt(thing, "it holds no image"));
    }
    let host = Platform::host();
    let runs_here = |top: &&Descriptor| top.platform.as_ref().is_none_or(|platform| host.accepts(platform));
    let images: Vec<_> = index.manifests.iter().filter(runs_here).collect();
    if images.is_empty() {
        index.choose(thing, &host)?;
    }
    let count = images.len();
    let load = |top: &Descriptor| {
        let reference = name_for(thing, count, own_name(top), name)?;
        store.import(top.clone(), reference.as_ref(), source)?;
        Ok(Loaded { reference, digest: top.digest })
    };
    images.into_iter().map(load).collect()
}

/// The name that the layout gives an image. A lone word is only a tag: the layout does not say of what.
fn own_name(top: &Descriptor) -> Option<ImageRef> {
    let full = top.annotation(FULL_NAME);
    let name = full.or_else(|| top.annotation(REF_NAME).filter(|name| name.contains(['/', ':'])));
    name.and_then(|name| name.parse().ok())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(ImageError::io("open", path))?;
    file.take(MAX_MANIFEST + 1).read_to_end(&mut content).map_err(ImageError::io("read", path))?;
    if content.len() as u64 > MAX_MANIFEST {
        return Err(ImageError::too_large(path.display(), MAX_MANIFEST));
    }
    Ok(content)
}

fn missing(thing: &str, blob: &Descriptor) -> ImageError {
    ImageError::corrupt(thing, format!("blob {} is missing", blob.digest))
}
