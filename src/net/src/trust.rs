//! Whom the host believes: the authorities that vouch for servers to which a box's secrets, or its queries, are sent.

use a3s_box_core::{BoxError, ErrorKind};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where hosts keep their bundle: Debian, Fedora, SUSE, and Alpine and macOS.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authorities, as they stood when they were read.
#[derive(Debug)]
pub(crate) struct Trust(Vec<CertificateDer<'static>>);

impl Trust {
    /// Those of the host (or of the file that `SSL_CERT_FILE` names in its place), and those in the PEM files `further`.
    ///
    /// # Errors
    /// A file that was asked for and cannot be read.
    pub(crate) fn read(further: &[PathBuf]) -> Result<Self, BoxError> {
        let mut all = match std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
            Some(file) => bundle(Path::new(&file))?,
            None => of_host(),
        };
        for file in further {
            all.extend(bundle(file)?);
        }
        Ok(Self(all))
    }

    /// How to speak TLS with a server that one of them vouches for; `protocols` is what may be spoken over it.
    ///
    /// # Errors
    /// Where not one of them can be used.
    pub(crate) fn client(&self, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, BoxError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        if roots.is_empty() {
            return Err(BoxError::new(ErrorKind::Unavailable, "this host knows no authority to believe")
                .with_hint("install ca-certificates"));
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// All of them, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.iter().map(|certificate| pem(certificate)).collect()
    }
}

/// The cryptography that all of ours uses.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate as text.
pub(crate) fn pem(certificate: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        let _ = writeln!(pem, "{line}");
        rest = more;
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// What went wrong with TLS before a single connection.
pub(crate) fn failed(error: &dyn std::error::Error) -> BoxError {
    BoxError::new(ErrorKind::Internal, "cannot prepare TLS").caused_by(error.to_string())
}

fn bundle(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let unusable = |why: String| {
        let text = format!("cannot use the authorities in {}", file.display());
        BoxError::new(ErrorKind::InvalidInput, text).caused_by(why)
    };
    let all: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| unusable(e.to_string()))?;
    if all.is_empty() { Err(unusable("there is no certificate in it".into())) } else { Ok(all) }
}

/// The host's own, or where it has none those that browsers believe.
fn of_host() -> Vec<CertificateDer<'static>> {
    let found = BUNDLES.iter().find_map(|file| bundle(Path::new(file)).ok());
    found.unwrap_or_else(|| webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, pem(&webpki_root_certs::TLS_SERVER_ROOT_CERTS[0])).unwrap();
        let trust = Trust(bundle(&file).unwrap());
        assert_eq!(trust.pem(), std::fs::read_to_string(&file).unwrap());
        trust.client(&[b"http/1.1"]).unwrap();
        std::fs::write(&file, "nothing").unwrap();
        assert!(Trust::read(&[file]).is_err() && Trust::read(&[dir.path().join("none")]).is_err());
    }
}
