//! Policies: an image that must be signed comes only if it is, by the right key, over its own digest.

use crate::hostile::{Served, answer};
use crate::tools::{Home, Peer, arg, run};
use a3s_box_core::{BoxError, ErrorKind};
use a3s_box_image::{Digest, Image, Keychain, Platform, Pull, Registries, Result, VerifyPolicy};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::PathBuf;

/// A key pair as `cosign generate-key-pair` makes it; the public half.
fn key(home: &Home, name: &str) -> PathBuf {
    let (private, public) = (home.path(&format!("{name}.key")), home.path(&format!("{name}.pub")));
    run("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", arg(&private)]);
    run("openssl", &["ec", "-in", arg(&private), "-pubout", "-out", arg(&public)]);
    public
}

/// What cosign signs for an image.
fn statement(digest: Digest) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"x/app"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    )
}

/// The manifest that holds a signature of `statement` by `signer`, as cosign pushes it.
fn signature(home: &Home, signer: &str, statement: &str) -> String {
    let file = home.path("statement");
    fs::write(&file, statement).unwrap();
    let key = home.path(&format!("{signer}.key"));
    let signed = run("openssl", &["dgst", "-sha256", "-sign", arg(&key), arg(&file)]).stdout;
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{
        "mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{}"}},"layers":[{{
        "mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":{},"digest":"{}",
        "annotations":{{"dev.cosignproject.cosign/signature":"{}"}}}}]}}"#,
        Digest::of(b"{}"),
        statement.len(),
        Digest::of(statement.as_bytes()),
        STANDARD.encode(signed)
    )
}

/// A pull of the image of a registry that has this signature for it, if any.
fn pull(signed: Option<(String, String)>, policy: &[PathBuf]) -> Result<Image> {
    let served = Served::plain(&[31], 1000);
    let tag = format!("sha256-{}.sig", Digest::of(served.manifest.as_bytes()).hex());
    let layer = served.blobs.iter().max_by_key(|(_, blob)| blob.len()).unwrap().0.clone();
    let peer = Peer::start(move |request| {
        if !request.contains(".sig ")
            && !signed.as_ref().is_some_and(|(_, s)| request.contains(&Digest::of(s.as_bytes()).to_string()))
        {
            return served.answer(request);
        }
        let kind = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
        match &signed {
            Some((manifest, _)) if request.contains(&tag) => answer("200 OK", kind, manifest.as_bytes()),
            Some((_, statement)) if request.contains("/blobs/") => answer("200 OK", "", statement.as_bytes()),
            _ => answer("404 Not Found", "", b""),
        }
    });
    let store = &Home::new();
    let pulled = store.store.pull(&Pull {
        reference: &format!("{}/team/app", peer.host).parse().unwrap(),
        platform: Platform::host(),
        registries: &Registries::default().with_tries(2),
        keychain: &Keychain::default(),
        verify: &[VerifyPolicy { prefix: format!("{}/team", peer.host), keys: policy.to_vec() }],
        rootfs: None,
        make_room: &|_| Ok(()),
        progress: &|_| {},
    });
    if pulled.is_err() {
        assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
        assert!(peer.requests().iter().all(|request| !request.contains(&layer)), "the layer came");
    }
    pulled
}

#[test]
fn only_a_signature_of_the_policys_key_over_this_image_counts() {
    let home = Home::new();
    let (ours, theirs) = (key(&home, "ours"), key(&home, "theirs"));
    let digest = Digest::of(Served::plain(&[31], 1000).manifest.as_bytes());
    let (right, wrong) = (statement(digest), statement(Digest::of(b"other")));
    let by =
        |signer: &str, statement: &str| Some((signature(&home, signer, statement), statement.to_owned()));
    let keys = [theirs.clone(), ours.clone()];
    pull(by("ours", &right), std::slice::from_ref(&ours)).unwrap();
    pull(by("ours", &right), &keys).unwrap();
    for (what, signed, keys, said) in [
        ("nothing", None, &keys[1..], "no signature"),
        ("another key", by("theirs", &right), &keys[1..], "none of its signatures"),
        ("another image", by("ours", &wrong), &keys[1..], "none of its signatures"),
        ("no key", by("ours", &right), &keys[..0], "none of its signatures"),
        ("another statement", by("ours", &wrong).map(|(m, _)| (m, right.clone())), &keys[1..], "404"),
    ] {
        let error = BoxError::from(pull(signed, keys).unwrap_err());
        assert!(error.to_string().contains(said), "{what}: {error}");
    }
    let unsigned = BoxError::from(pull(None, &keys).unwrap_err());
    assert_eq!(unsigned.kind(), ErrorKind::Permission);
    let missing = pull(by("ours", &right), &[home.path("no.pub")]).unwrap_err();
    assert!(missing.to_string().contains("no.pub"), "{missing}");
    let private = pull(by("ours", &right), &[home.path("ours.key")]).unwrap_err();
    assert!(private.to_string().contains("not a public key"), "{private}");
}
