//! `logout`: forgets the credentials for a registry.

use crate::stream;
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_image::ImageRef;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Logout {
    /// Registry; Docker Hub when absent
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    registry: String,
}

impl Logout {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let registry = registry(&self.registry)?;
        let was_in = engine.logout(&registry)?;
        let said = if was_in { "Removed the credentials for" } else { "Not logged in to" };
        stream::line(&format!("{said} {registry}"))?;
        Ok(0)
    }
}

/// The registry's host, as an image's name has it; people write it as a URL, too.
pub(super) fn registry(text: &str) -> Result<String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = host.split('/').next().unwrap_or_default();
    let refuse = || {
        BoxError::new(ErrorKind::InvalidInput, format!("{text:?} is not a registry"))
            .with_hint("write a host, such as ghcr.io or registry.example.com:5000")
    };
    let parsed: ImageRef = format!("{host}/a/b").parse().map_err(|_| refuse())?;
    if parsed.repository() == "a/b" { Ok(parsed.registry().to_owned()) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::registry;

    #[test]
    fn a_registry_is_a_host_however_it_is_written() {
        for (text, host) in [
            ("ghcr.io", "ghcr.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("http://reg.example:80", "reg.example:80"),
        ] {
            assert_eq!(registry(text).unwrap(), host);
        }
        for text in ["", "acme", "a b.c", "https://"] {
            assert!(registry(text).is_err(), "{text}");
        }
    }
}
