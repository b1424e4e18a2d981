//! Image references as the ecosystem writes them, with Docker's defaults made explicit.

use crate::{Digest, ImageError, Result};
use std::fmt;
use std::str::FromStr;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// The distribution project's limit on registry and repository together.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A complete image reference: registry, repository, and a tag or a digest or both.
///
/// Parses `alpine`, `user/app:tag`, `host:5000/a/b@sha256:…`. `Display` is the canonical form, with registry
/// and tag spelled out; [`ImageRef::familiar`] is what people write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// The registry's host, with its port where one was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; absent only where a digest was given without one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that pins the image.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same without the digest, where a tag is left then.
    #[must_use]
    pub fn by_tag(&self) -> Self {
        Self { digest: self.digest.filter(|_| self.tag.is_none()), ..self.clone() }
    }

    /// The repository alone, without tag and digest, as people write it: `alpine`, `user/app`.
    pub fn familiar_name(&self) -> String {
        let name = format!("{}/{}", self.registry, self.repository);
        let Some(rest) = name.strip_prefix("docker.io/") else { return name };
        rest.strip_prefix("library/").unwrap_or(rest).to_owned()
    }

    /// The short form, without what Docker fills in by itself: `alpine:3`, `user/app:tag`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(rest) = full.strip_prefix("docker.io/") else { return full };
        rest.strip_prefix("library/").unwrap_or(rest).to_owned()
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason| ImageError::InvalidReference { text: text.to_owned(), reason };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                (name, Some(digest.parse().map_err(|_| refuse("its digest is not sha256: and 64 digits"))?))
            }
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[path_start..].find(':') {
            Some(colon) => (&name[..path_start + colon], Some(&name[path_start + colon + 1..])),
            None => (name, None),
        };
        if name.len() > MAX_NAME {
            return Err(refuse("its name is longer than 255 bytes"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("a tag is up to 128 letters, digits, '_', '.' and '-'"));
        }
        let (registry, path) = split_registry(name);
        if !is_registry(registry) {
            return Err(refuse("its registry is not a host name with an optional port"));
        }
        if !path.split('/').all(is_component) {
            return Err(refuse("a name is lower-case letters and digits, joined by '.', '_', '-' and '/'"));
        }
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("{DEFAULT_NAMESPACE}/{path}")
        } else {
            path.to_owned()
        };
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// The first part is a registry if it looks like a host; Docker's rule, so that `user/app` is not one.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (host, path),
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if rest.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+` runs joined by one of `.`, `_`, `__` or any number of `-` (OCI distribution spec).
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    ends && bytes
        .split(|b| word(*b))
        .all(|joint| matches!(joint, b"" | b"." | b"_" | b"__") || joint.iter().all(|b| *b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, canonical, familiar) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("user/app:tag", "docker.io/user/app:tag", "user/app:tag"),
            ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("ghcr.io/o/a__b-c.d", "ghcr.io/o/a__b-c.d:latest", "ghcr.io/o/a__b-c.d:latest"),
        ] {
            let parsed: ImageRef = text.parse().unwrap();
            assert_eq!(parsed.to_string(), canonical);
            assert_eq!(parsed.familiar(), familiar);
            assert_eq!(canonical.parse::<ImageRef>().unwrap(), parsed);
        }
        let pinned: ImageRef = format!("host:5000/a/b@{digest}").parse().unwrap();
        assert_eq!((pinned.tag(), pinned.digest()), (None, Some(digest.parse().unwrap())));
        let both: ImageRef = format!("alpine:3@{digest}").parse().unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/alpine:3@{digest}"));
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let long = "a".repeat(256);
        let tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            "/",
            "a//b",
            "/a",
            "a/",
            "A",
            "a b",
            "a:",
            "a:-x",
            "a@",
            "a@sha256:00",
            "a__-b",
            "a..b",
            "-a",
            "host:99999/a",
            "host:x/a",
            "ho_st.x/a",
            "[::g]/a",
            "[::1/a",
            "../a",
            "a:b:c",
            "localhost:5000/",
            "ä",
            "a\0",
            "a:\u{1f600}",
            &long,
            &tag,
        ] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
