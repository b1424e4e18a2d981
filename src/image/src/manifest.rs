//! Descriptors, indexes and manifests: the JSON that ties an image's blobs together (OCI image spec v1.1,
//! Docker image manifest v2 schema 2), parsed strictly and within bounds.

use crate::compression::Compression;
use crate::{Digest, ImageError, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The largest index or manifest that is read, in bytes: the limit that registries keep.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
/// The largest image configuration that is read, in bytes.
pub(crate) const MAX_CONFIG: u64 = 8 << 20;
/// The most bytes of blobs that one image or archive may bring into the store.
pub(crate) const MAX_STORED: u64 = 64 << 30;
const MAX_LAYERS: usize = 1000;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The annotation that names an image in an OCI layout's `index.json`.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What a blob is, how long it is, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The blob's media type.
    pub media_type: String,
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's length in bytes.
    pub size: u64,
    /// The platform of a manifest in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free-form notes; `index.json` names its images here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// A descriptor without platform and annotations.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
    }

    /// The name that `index.json` gives this image.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// An operating system and processor, in Go's words (`linux`, `amd64`, `arm64`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The processor's architecture.
    pub architecture: String,
    /// The architecture's version, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// What boxes on this host run: Linux on the host's own architecture.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// Whether an image for `offered` does where this platform is wanted. Without a variant it does; with one, only
    /// the wanted one and the baseline of the architecture surely do.
    pub(crate) fn accepts(&self, offered: &Self) -> bool {
        let baseline = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm64" => "v8",
            _ => "",
        };
        self.os == offered.os
            && self.architecture == offered.architecture
            && offered
                .variant
                .as_deref()
                .is_none_or(|v| v.is_empty() || v == baseline || Some(v) == self.variant.as_deref())
    }
}

impl FromStr for Platform {
    type Err = ImageError;

    /// Parses `linux/arm64` and `linux/arm/v7`.
    fn from_str(text: &str) -> Result<Self> {
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [os, architecture] | [os, architecture, _] if parts.iter().all(word) => Ok(Self {
                os: os.into(),
                architecture: architecture.into(),
                variant: parts.get(2).map(|variant| (*variant).to_owned()),
            }),
            _ => {
                Err(ImageError::Settings { what: format!("{text:?} is not a platform, such as linux/arm64") })
            }
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// A list of manifests, one per platform; also the form of a layout's `index.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// An index of `manifests`.
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(OCI_INDEX.into()), manifests }
    }

    /// Parses the JSON of `thing`.
    pub(crate) fn parse(thing: &str, json: &[u8]) -> Result<Self> {
        let index: Self = serde_json::from_slice(json).map_err(|e| ImageError::corrupt(thing, e))?;
        check_schema(thing, index.schema_version)?;
        Ok(index)
    }

    /// The manifest that runs on `platform`. An entry that does not say its platform is the last resort: its
    /// configuration tells.
    pub(crate) fn choose(&self, thing: &str, platform: &Platform) -> Result<&Descriptor> {
        let stated = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| platform.accepts(p));
        let silent = |d: &&Descriptor| d.platform.is_none();
        let found = self.manifests.iter().find(stated).or_else(|| self.manifests.iter().find(silent));
        found.ok_or_else(|| {
            let offered: Vec<_> =
                self.manifests.iter().flat_map(|d| &d.platform).map(|p| p.to_string()).collect();
            ImageError::NoPlatform {
                thing: thing.to_owned(),
                wanted: platform.to_string(),
                offered: if offered.is_empty() { "nothing".into() } else { offered.join(", ") },
            }
        })
    }
}

/// One image for one platform: its configuration and its layers, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    /// The image configuration's blob.
    pub config: Descriptor,
    /// The layers' blobs, bottom first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// A manifest of these blobs.
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(OCI_MANIFEST.into()), config, layers }
    }

    /// Parses the JSON of `thing`, and refuses blobs of unknown kinds: an artifact is not an image.
    pub(crate) fn parse(thing: &str, json: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(json).map_err(|e| ImageError::corrupt(thing, e))?;
        check_schema(thing, manifest.schema_version)?;
        let config = &manifest.config;
        if config.media_type != OCI_CONFIG && config.media_type != DOCKER_CONFIG {
            return Err(ImageError::unsupported(
                thing,
                format!("a configuration of type {:?}", config.media_type),
            ));
        }
        if config.size > MAX_CONFIG {
            return Err(ImageError::too_large(format!("the configuration of {thing}"), MAX_CONFIG));
        }
        if manifest.layers.len() > MAX_LAYERS {
            return Err(ImageError::TooLarge { thing: thing.into(), limit: format!("{MAX_LAYERS} layers") });
        }
        let mut left = MAX_STORED;
        for layer in &manifest.layers {
            Compression::of_layer(thing, layer)?;
            left = left.checked_sub(layer.size).ok_or_else(|| ImageError::too_large(thing, MAX_STORED))?;
        }
        Ok(manifest)
    }
}

/// What an index or manifest descriptor points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Index,
    Manifest,
}

impl NodeKind {
    /// The kind of `descriptor`'s blob, whose size is checked too.
    pub(crate) fn of(descriptor: &Descriptor) -> Result<Self> {
        let thing = format!("image {}", descriptor.digest);
        if descriptor.size > MAX_MANIFEST {
            return Err(ImageError::too_large(format!("the manifest of {thing}"), MAX_MANIFEST));
        }
        match descriptor.media_type.as_str() {
            OCI_INDEX | DOCKER_LIST => Ok(Self::Index),
            OCI_MANIFEST | DOCKER_MANIFEST => Ok(Self::Manifest),
            other => Err(ImageError::unsupported(thing, format!("media type {other:?}"))),
        }
    }
}

fn check_schema(thing: &str, version: u32) -> Result<()> {
    if version == 2 {
        return Ok(());
    }
    Err(ImageError::unsupported(thing, format!("schema version {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        Platform { os: os.into(), architecture: architecture.into(), variant: variant.map(Into::into) }
    }

    #[test]
    fn the_baseline_variant_runs_here_and_no_other() {
        let host = platform("linux", "arm64", None);
        assert!(host.accepts(&platform("linux", "arm64", None)));
        assert!(host.accepts(&platform("linux", "arm64", Some("v8"))));
        assert!(!host.accepts(&platform("linux", "arm64", Some("v9"))));
        assert!(!host.accepts(&platform("linux", "arm", Some("v7"))));
        assert!(!host.accepts(&platform("windows", "arm64", None)));
        assert!(!platform("linux", "amd64", None).accepts(&platform("linux", "amd64", Some("v3"))));
    }

    #[test]
    fn an_index_offers_what_it_has() {
        let entry = |p: Option<Platform>| {
            let mut entry = Descriptor::new(OCI_MANIFEST, Digest::of(format!("{p:?}").as_bytes()), 1);
            entry.platform = p;
            entry
        };
        let unknown = entry(Some(platform("unknown", "unknown", None)));
        let amd64 = entry(Some(platform("linux", "amd64", None)));
        let index = Index::new(vec![unknown.clone(), amd64.clone()]);
        assert_eq!(index.choose("x", &platform("linux", "amd64", None)).unwrap(), &amd64);
        let error = index.choose("x", &platform("linux", "arm64", None)).unwrap_err().to_string();
        assert_eq!(error, "x has no variant for linux/arm64, only for unknown/unknown, linux/amd64");
        let silent = entry(None);
        let index = Index::new(vec![unknown, silent.clone()]);
        assert_eq!(index.choose("x", &platform("linux", "arm64", None)).unwrap(), &silent);
    }

    #[test]
    fn unknown_kinds_are_refused_by_name() {
        let digest = Digest::of(b"");
        let manifest = |config: &str, layer: &str| {
            let made =
                Manifest::new(Descriptor::new(config, digest, 2), vec![Descriptor::new(layer, digest, 3)]);
            Manifest::parse("image x", &serde_json::to_vec(&made).unwrap())
        };
        assert!(manifest(OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip").is_ok());
        let error = manifest("application/vnd.wasm.config", "").unwrap_err().to_string();
        assert!(error.contains("\"application/vnd.wasm.config\""), "{error}");
        let error =
            manifest(OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+lzma").unwrap_err().to_string();
        assert!(error.contains("tar+lzma"), "{error}");
    }

    #[test]
    fn hostile_json_is_an_error() {
        for json in [
            &b""[..],
            b"{}",
            b"[]",
            b"{\"schemaVersion\":1,\"manifests\":[]}",
            b"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"sha256:0\",\"size\":1}]}",
            b"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"\",\"size\":-1}]}",
            &[b'['; 5000],
        ] {
            assert!(Index::parse("x", json).is_err());
            assert!(Manifest::parse("x", json).is_err());
        }
    }
}
