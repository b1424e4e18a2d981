//! What a user says of registries: which are spoken with in the clear, whom to trust, which mirrors to ask first.
//!
//! Without settings a registry is spoken with over HTTPS, with Mozilla's authorities, and by itself; only one on
//! this machine is spoken with in the clear.

use crate::{ImageError, ImageRef, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// The most of a file of authorities that is read, in bytes.
const MAX_CA: u64 = 4 << 20;
/// How often a request is tried that brings nothing, with growing pauses: about a quarter of a minute.
const TRIES: u32 = 8;

/// What is said of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegistrySettings {
    /// Speak plain HTTP with it (`true`), or HTTPS even if it is on this machine (`false`).
    pub plain_http: Option<bool>,
    /// PEM files of further authorities that may vouch for it.
    pub ca: Vec<PathBuf>,
    /// Hosts, each with an optional path, that are asked before it, in this order.
    pub mirrors: Vec<String>,
}

/// What is said of all registries.
#[derive(Debug, Clone)]
pub struct Registries {
    by_host: BTreeMap<String, RegistrySettings>,
    ca: Vec<PathBuf>,
    tries: u32,
}

impl Default for Registries {
    fn default() -> Self {
        Self { by_host: BTreeMap::new(), ca: Vec::new(), tries: TRIES }
    }
}

/// A place to pull a repository from.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// What it is called in settings and among credentials.
    pub host: String,
    /// The repository's name there.
    pub repository: String,
    /// Whether it is spoken with in the clear.
    pub plain: bool,
    /// Whether it is on this machine.
    pub local: bool,
    pub roots: RootCerts,
    pub tries: u32,
}

impl Registries {
    /// `by_host` says what is particular to single registries; `ca` are PEM files of authorities that may vouch
    /// for any.
    pub fn new(by_host: BTreeMap<String, RegistrySettings>, ca: Vec<PathBuf>) -> Self {
        Self { by_host, ca, tries: TRIES }
    }

    /// The same, but a request that brings nothing is tried `tries` times.
    #[must_use]
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Where to look for `reference`, in order; the registry itself is the last.
    pub(super) fn endpoints(&self, reference: &ImageRef) -> Result<Vec<Endpoint>> {
        let registry = reference.registry();
        let mirrors = self.by_host.get(registry).map(|settings| &settings.mirrors[..]).unwrap_or_default();
        let mut endpoints = Vec::new();
        for mirror in mirrors {
            let (host, path) = mirror.split_once('/').unwrap_or((mirror, ""));
            let repository = match path.trim_end_matches('/') {
                "" => reference.repository().to_owned(),
                path => format!("{path}/{}", reference.repository()),
            };
            // Held to the same rules as what a user types.
            let parsed: ImageRef = format!("{host}/{repository}").parse()?;
            if parsed.registry() != host {
                return Err(ImageError::Settings {
                    what: format!("mirror {mirror:?} of {registry} is not a host with an optional path"),
                });
            }
            endpoints.push(self.endpoint(host, repository)?);
        }
        endpoints.push(self.endpoint(registry, reference.repository().to_owned())?);
        Ok(endpoints)
    }

    /// The registry `host` itself, for requests about no repository.
    pub(super) fn endpoint(&self, host: &str, repository: String) -> Result<Endpoint> {
        let local = is_this_machine(host);
        let settings = self.by_host.get(host);
        let plain = settings.and_then(|settings| settings.plain_http).unwrap_or(local);
        let own = settings.map(|settings| &settings.ca[..]).unwrap_or_default();
        let roots = roots(self.ca.iter().chain(own))?;
        Ok(Endpoint { host: host.to_owned(), repository, plain, local, roots, tries: self.tries })
    }
}

impl Endpoint {
    /// Scheme and host.
    pub(super) fn base(&self) -> String {
        // Docker Hub's registry does not answer under its own name.
        let host = if self.host == "docker.io" { "registry-1.docker.io" } else { &self.host };
        format!("{}://{host}", if self.plain { "http" } else { "https" })
    }
}

/// Mozilla's authorities, and those in `files`.
fn roots<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<RootCerts> {
    let mut further = Vec::new();
    for file in files {
        further.extend(certificates(file)?);
    }
    if further.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    further.extend(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der)));
    Ok(RootCerts::from(further))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CA).read_to_end(&mut pem))
        .map_err(ImageError::io("read", path))?;
    let bad = |why: String| ImageError::Settings { what: format!("{}: {why}", path.display()) };
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| bad(e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(bad("it holds no PEM certificate".into())) } else { Ok(found) }
}

/// Whether a registry is one of this machine, whose traffic nobody else sees.
fn is_this_machine(registry: &str) -> bool {
    let host = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_with_in_the_clear() {
        for registry in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"]
        {
            assert!(is_this_machine(registry), "{registry}");
        }
        for registry in
            ["docker.io", "localhost.example.com", "10.0.0.1:5000", "[::2]:5000", "127.0.0.1.nip.io"]
        {
            assert!(!is_this_machine(registry), "{registry}");
        }
    }

    #[test]
    fn mirrors_come_first_and_have_settings_of_their_own() {
        let text = "[\"docker.io\"]\nmirrors = ['mirror.lan:5000/hub', 'other.example']\n\
                    ['mirror.lan:5000']\nplain-http = true\n['localhost:1']\nplain-http = false";
        let registries = Registries::new(toml::from_str(text).unwrap(), Vec::new());
        let at = |name: &str| {
            let endpoints = registries.endpoints(&name.parse().unwrap()).unwrap();
            endpoints.iter().map(|e| format!("{}/{}", e.base(), e.repository)).collect::<Vec<_>>()
        };
        assert_eq!(
            at("alpine"),
            [
                "http://mirror.lan:5000/hub/library/alpine",
                "https://other.example/library/alpine",
                "https://registry-1.docker.io/library/alpine"
            ]
        );
        assert_eq!(at("localhost:1/a"), ["https://localhost:1/a"]);
        assert_eq!(at("localhost:2/a"), ["http://localhost:2/a"]);
        let odd = toml::from_str("[\"docker.io\"]\nmirrors = ['https://mirror.lan']").unwrap();
        assert!(Registries::new(odd, Vec::new()).endpoints(&"alpine".parse().unwrap()).is_err());
        let unknown = toml::from_str::<BTreeMap<String, RegistrySettings>>("[\"x\"]\ninsecure = true");
        assert!(unknown.unwrap_err().to_string().contains("`insecure`"));
    }
}
