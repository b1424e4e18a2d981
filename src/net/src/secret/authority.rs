//! The authority of one box's network, which only that box believes: it vouches for us where we stand in for the
//! hosts of the box's secrets.
//!
//! Made anew at each start. Its key is in this process's memory alone, and it can vouch for those hosts alone.

use crate::trust::{failed, pem, provider};
use a3s_box_core::BoxError;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A box may run for months, and knows no other.
const LIFE: Duration = Duration::from_secs(400 * 24 * 3600);
/// A host's certificate is good for so long, and is made anew after half of it.
const LEAF: Duration = Duration::from_secs(2 * 24 * 3600);

/// The authority, and what it has vouched for.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    leaves: HashMap<String, (Arc<ServerConfig>, Instant)>,
}

impl Authority {
    /// One for `hosts`.
    ///
    /// # Errors
    /// A system without random numbers, or hosts that make no certificate.
    pub(crate) fn new(hosts: &BTreeSet<&str>) -> Result<Self, BoxError> {
        let key = KeyPair::generate().map_err(|e| failed(&e))?;
        let mut params = params("a3s-box network of one box", LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let permitted_subtrees =
            hosts.iter().map(|host| GeneralSubtree::DnsName((*host).to_owned())).collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        let certificate = params.self_signed(&key).map_err(|e| failed(&e))?;
        let pem = pem(certificate.der());
        Ok(Self { issuer: Issuer::new(params, key), pem, leaves: HashMap::new() })
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to speak TLS in the name of `host`.
    ///
    /// # Errors
    /// Those of [`Authority::new`].
    pub(crate) fn server(&mut self, host: &str, now: Instant) -> Result<Arc<ServerConfig>, BoxError> {
        if let Some((server, made)) = self.leaves.get(host)
            && now.saturating_duration_since(*made) < LEAF / 2
        {
            return Ok(Arc::clone(server));
        }
        let key = KeyPair::generate().map_err(|e| failed(&e))?;
        let mut params = params(host, LEAF);
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(host.try_into().map_err(|e: rcgen::Error| failed(&e))?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|e| failed(&e))?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| {
            BoxError::new(a3s_box_core::ErrorKind::Internal, "cannot prepare TLS").caused_by(e)
        })?;
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(&e))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(|e| failed(&e))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server = Arc::new(server);
        self.leaves.insert(host.to_owned(), (Arc::clone(&server), now));
        Ok(server)
    }
}

fn params(name: &str, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // A common name holds 64 characters, and nobody looks for a host's there.
    let name: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    // The box's clock may be a little behind.
    params.not_before = OffsetDateTime::from(now.checked_sub(DAY).unwrap_or(now));
    params.not_after = OffsetDateTime::from(now + life);
    params
}
