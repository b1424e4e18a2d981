//! Signatures: which images must be signed by which keys, and whether they are.
//!
//! What `cosign sign --key` has written since its beginning is understood: an image `sha256-….sig` beside the
//! signed one, whose layers are statements about the image's digest, each with a signature by ECDSA on P-256 over
//! SHA-256 in an annotation (cosign's SIGNATURE_SPEC). Everything that cannot be verified counts as unsigned.

use super::client::Client;
use super::{Descriptor, Digest, ImageError, ImageRef, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const STATEMENT: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The largest statement that is read, in bytes, and the most of them.
const MAX_STATEMENT: u64 = 64 << 10;
const MAX_SIGNATURES: usize = 64;
const MAX_KEY_FILE: u64 = 64 << 10;
/// What precedes the point in the DER of a P-256 key (RFC 5480): the algorithm and the curve.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT: usize = 65;

/// Images that must be signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VerifyPolicy {
    /// What the images' full names begin with, such as `ghcr.io/acme`: whole parts of a name, so that this is not
    /// `ghcr.io/acme-fake`. Empty means all images. Of several policies the longest prefix counts.
    pub prefix: String,
    /// PEM files of public keys, one of which must have signed.
    pub keys: Vec<PathBuf>,
}

/// A public key on P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a PEM file, such as cosign's `cosign.pub`.
    pub fn read(path: &Path) -> Result<Self> {
        let mut pem = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut pem))
            .map_err(ImageError::io("read", path))?;
        Self::parse(&pem).ok_or_else(|| ImageError::Settings {
            what: format!("{} is not a public key on P-256 in PEM", path.display()),
        })
    }

    fn parse(pem: &str) -> Option<Self> {
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
        let body = body.strip_suffix("-----END PUBLIC KEY-----")?;
        let der = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
        let point = der.strip_prefix(&P256_PREFIX)?;
        (point.len() == POINT && point[0] == 4).then(|| Self(point.to_vec()))
    }

    fn verifies(&self, statement: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(statement, signature).is_ok()
    }
}

/// The image beside the signed one. It is not an image of layers, so it is not read as one.
#[derive(Deserialize)]
struct Signatures {
    layers: Vec<Signed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// What was signed (containers/image, simple signing format).
#[derive(Deserialize)]
struct Statement {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Signee,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Signee {
    docker_manifest_digest: Digest,
}

/// The policy that holds for `reference`.
fn policy<'a>(reference: &ImageRef, policies: &'a [VerifyPolicy]) -> Option<&'a VerifyPolicy> {
    // However the same host is written, its policy holds.
    let registry = reference.registry().to_ascii_lowercase();
    let name = format!("{}/{}", registry.strip_suffix(":443").unwrap_or(&registry), reference.repository());
    let holds = |policy: &&VerifyPolicy| {
        let prefix = policy.prefix.trim_end_matches('/');
        prefix.is_empty()
            || name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    policies.iter().filter(holds).max_by_key(|policy| policy.prefix.trim_end_matches('/').len())
}

/// Refuses `top`, which `reference` means, if it is not signed as `policies` ask.
pub(super) fn check(
    client: &Client,
    reference: &ImageRef,
    top: &Descriptor,
    policies: &[VerifyPolicy],
) -> Result<()> {
    let Some(policy) = policy(reference, policies) else { return Ok(()) };
    let unsigned = |reason: String| ImageError::Unsigned {
        image: reference.to_string(),
        prefix: if policy.prefix.is_empty() { "all images".into() } else { policy.prefix.clone() },
        reason,
    };
    let keys = policy.keys.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>>>()?;
    let tag = format!("sha256-{}.sig", top.digest.hex());
    let json = match client.named_manifest(&format!("the signatures of {reference}"), &tag) {
        Ok((_, json)) => json,
        Err(ImageError::NotFound { .. }) => return Err(unsigned("it has no signature".into())),
        Err(error) => return Err(error),
    };
    let signatures: Signatures =
        serde_json::from_slice(&json).map_err(|e| unsigned(format!("its signatures are damaged: {e}")))?;
    for signed in
        signatures.layers.iter().filter(|signed| signed.media_type == STATEMENT).take(MAX_SIGNATURES)
    {
        let text = signed.annotations.as_ref().and_then(|notes| notes.get(SIGNATURE));
        let Some(signature) = text.and_then(|text| STANDARD.decode(text).ok()) else { continue };
        if signed.size > MAX_STATEMENT {
            continue;
        }
        let statement = client.bytes(&Descriptor::new(&signed.media_type, signed.digest, signed.size))?;
        if keys.iter().any(|key| key.verifies(&statement, &signature)) && states(&statement, top.digest) {
            return Ok(());
        }
    }
    Err(unsigned("none of its signatures is by a key of the policy".into()))
}

/// Whether a statement is one about the image `digest`.
fn states(statement: &[u8], digest: Digest) -> bool {
    serde_json::from_slice::<Statement>(statement).is_ok_and(|statement| {
        statement.critical.kind == "cosign container image signature"
            && statement.critical.image.docker_manifest_digest == digest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_of_whole_parts_counts() {
        let policy_of = |prefix: &str| VerifyPolicy { prefix: prefix.into(), keys: Vec::new() };
        let policies =
            [policy_of("ghcr.io/acme"), policy_of("ghcr.io/acme/tools/"), policy_of("docker.io/library")];
        let prefix =
            |name: &str| policy(&name.parse().unwrap(), &policies).map(|policy| policy.prefix.as_str());
        assert_eq!(prefix("ghcr.io/acme/app"), Some("ghcr.io/acme"));
        assert_eq!(prefix("GHCR.io:443/acme/app"), Some("ghcr.io/acme"));
        assert_eq!(prefix("ghcr.io/acme/tools/x:1"), Some("ghcr.io/acme/tools/"));
        assert_eq!(prefix("ghcr.io/acme-fake/app"), None);
        assert_eq!(prefix("alpine"), Some("docker.io/library"));
        assert_eq!(policy(&"x.example/y".parse().unwrap(), &[policy_of("")]), Some(&policy_of("")));
    }

    #[test]
    fn only_keys_on_p256_are_keys() {
        let pem = |der: &[u8]| {
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
        };
        let good = [&P256_PREFIX[..], &[4; POINT]].concat();
        assert!(PublicKey::parse(&pem(&good)).is_some());
        for bad in [&good[..90], &[&good[..], &[0]].concat(), &[0x30; 91], &[]] {
            assert_eq!(PublicKey::parse(&pem(bad)), None);
        }
        assert_eq!(PublicKey::parse("-----BEGIN PRIVATE KEY-----"), None);
    }
}
