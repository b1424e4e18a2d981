//! `pull` from Debian's docker-registry, and from registries that misbehave.

use crate::load::{layout, skopeo};
use crate::tools::{Home, Peer, Registry, arg};
use a3s_box_core::{BoxError, ErrorKind};
use a3s_box_image::{Credentials, Digest, Image, Keychain, PullEvent, Registries, Result};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What a peer answers to a request.
type Serve = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

fn pull(home: &Home, reference: &str) -> Result<Image> {
    home.pull(reference, &Keychain::default(), &Registries::default().with_tries(3), &|_| {})
}

/// A pull, and what happened during it.
fn watched(home: &Home, reference: &str) -> (Image, Vec<PullEvent>) {
    let events = Mutex::new(Vec::new());
    let note = |event| events.lock().unwrap().push(event);
    let image = home.pull(reference, &Keychain::default(), &Registries::default(), &note).unwrap();
    (image, events.into_inner().unwrap())
}

fn refused(home: &Home, reference: &str, kind: ErrorKind) -> String {
    let error = BoxError::from(pull(home, reference).unwrap_err());
    assert_eq!(error.kind(), kind, "{error} {:?}", std::error::Error::source(&error));
    error.to_string()
}

#[test]
fn images_come_from_a_registry_as_they_were_pushed() {
    let home = Home::new();
    let from = format!("oci:{}:x", arg(&layout(&home, "layout")));
    let registry = Registry::start(&home);
    let expected = home.store.load(&home.path("layout"), Some(&"local".parse().unwrap())).unwrap();
    let local = home.store.resolve(&expected[0].digest.to_string()).unwrap();
    let built = home.rootfs.ensure(&home.store, &local).unwrap();
    let zstd = format!("oci:{}:x", arg(&home.path("zstd")));
    skopeo(&from, &zstd, &["--dest-compress", "--dest-compress-format", "zstd"]);
    for (tag, from, options) in
        [("oci", &from, &[][..]), ("v2s2", &from, &["--format", "v2s2"]), ("zstd", &zstd, &[])]
    {
        let reference = format!("{}/test/app:{tag}", registry.host);
        skopeo(from, &format!("docker://{reference}"), &[&["--dest-tls-verify=false"], options].concat());
        let (image, events) = watched(&home, &reference);
        assert_eq!(events[0], PullEvent::Resolved { digest: image.digest });
        assert_eq!(image.config.diff_ids(), local.config.diff_ids(), "{tag}");
        assert_eq!(home.rootfs.ensure(&home.store, &image).unwrap(), built);
        let pinned = format!("{}/test/app@{}", registry.host, image.digest);
        assert_eq!(pull(&home, &pinned).unwrap().digest, image.digest);
        assert_eq!(home.store.resolve(&pinned).unwrap().digest, image.digest);
    }
    let missing = format!("{}/test/app:none", registry.host);
    assert!(refused(&home, &missing, ErrorKind::NotFound).contains("test/app:none"));
}

#[test]
fn progress_adds_up_and_a_second_pull_brings_nothing() {
    let home = Home::new();
    let from = format!("oci:{}:x", arg(&layout(&home, "layout")));
    let registry = Registry::start(&home);
    let reference = format!("{}/app:1", registry.host);
    skopeo(&from, &format!("docker://{reference}"), &["--dest-tls-verify=false"]);
    let (image, events) = watched(&home, &reference);
    let (mut promised, mut came, mut finished) = (0, BTreeMap::new(), 0);
    for event in events {
        match event {
            PullEvent::Started { size, .. } => promised += size,
            PullEvent::Received { digest, bytes } => drop(came.insert(digest, bytes)),
            PullEvent::Finished { .. } => finished += 1,
            PullEvent::Resolved { .. } | PullEvent::Present { .. } => {}
        }
    }
    assert_eq!(promised + image.manifest.config.size, image.size());
    assert_eq!(came.values().sum::<u64>(), promised);
    assert_eq!(finished, image.manifest.layers.len());
    let (_, events) = watched(&home, &reference);
    let mut expected = vec![PullEvent::Resolved { digest: image.digest }];
    expected.extend(image.manifest.layers.iter().map(|l| PullEvent::Present { digest: l.digest }));
    assert_eq!(events, expected);
}

/// An image of no layers: its manifest and configuration.
fn scratch() -> (String, String) {
    let config = r#"{"os":"linux","architecture":"ARCH","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let config = config.replace("ARCH", arch);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[],"config":{{
        "mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}}}}"#,
        Digest::of(config.as_bytes()),
        config.len()
    );
    (manifest, config)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
        .into_bytes()
}

fn manifest_answer(body: &str) -> Vec<u8> {
    answer("200 OK", &format!("content-type: {MANIFEST}\r\n"), body)
}

#[test]
fn a_token_is_asked_for_and_does_not_follow_a_redirect() {
    let (manifest, config) = scratch();
    let body = config.clone();
    let elsewhere = Peer::start(move |_| answer("200 OK", "", &body));
    let target = elsewhere.host.clone();
    let peer = Peer::start_with(move |host, request| {
        let authorized = request.contains("authorization: Bearer secret-token\r\n");
        if request.starts_with("GET /token?") {
            assert!(request.contains("authorization: Basic dTpw\r\n"), "{request}");
            assert!(request.contains("scope=repository%3Aapp%3Apull"), "{request}");
            return answer("200 OK", "", r#"{"token":"secret-token"}"#);
        }
        if !authorized {
            let challenge =
                format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
            return answer("401 Unauthorized", &challenge, "");
        }
        if request.starts_with("GET /v2/app/manifests/latest ") {
            return manifest_answer(&manifest);
        }
        answer("307 Temporary Redirect", &format!("location: http://{target}/cdn\r\n"), "")
    });
    let home = Home::new();
    let credentials = Credentials { username: "u".into(), password: "p".into() };
    let keychain = Keychain::default().with(&peer.host, credentials);
    let reference = format!("{}/app", peer.host);
    let image = home.pull(&reference, &keychain, &Registries::default(), &|_| {}).unwrap();
    // An image of no layers has an empty root.
    home.rootfs.ensure(&home.store, &image).unwrap();
    let seen = elsewhere.requests();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].to_lowercase().contains("authorization"), "{}", seen[0]);
}

#[test]
fn lies_of_a_registry_are_found() {
    let (manifest, config) = scratch();
    let home = Home::new();
    let check = |serve: Serve, kind, said: &str| {
        let peer = Peer::start(move |request| serve(request));
        let error = refused(&home, &format!("{}/app", peer.host), kind);
        assert!(error.contains(said), "{error}");
        assert!(home.store.list().unwrap().is_empty());
    };
    let with = |blob: Vec<u8>| -> Serve {
        let manifest = manifest.clone();
        Box::new(
            move |request| {
                if request.contains("/manifests/") { manifest_answer(&manifest) } else { blob.clone() }
            },
        )
    };
    check(with(answer("200 OK", "", &config.replace("linux", "linuy"))), ErrorKind::Corrupt, "its digest is");
    check(with(answer("200 OK", "", &format!("{config} "))), ErrorKind::Corrupt, "longer than declared");
    check(with(answer("200 OK", "", &config[1..])), ErrorKind::Corrupt, "bytes are missing");
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{{", config.len());
    check(with(cut.into_bytes()), ErrorKind::Unavailable, "cannot get sha256:");
    let denied = r#"{"errors":[{"code":"DENIED","message":"not for you\u001b[31m"}]}"#;
    check(with(answer("403 Forbidden", "", denied)), ErrorKind::Permission, "not for you\\u{1b}[31m");
    check(with(answer("503 Service Unavailable", "", "")), ErrorKind::Unavailable, "503");
    let odd = |body: String, kind: &'static str| -> Serve {
        Box::new(move |_| answer("200 OK", &format!("content-type: {kind}\r\n"), &body))
    };
    check(odd(manifest.clone(), "text/html"), ErrorKind::Unsupported, "\"text/html\"");
    check(odd("{".into(), MANIFEST), ErrorKind::Corrupt, "is damaged");
    check(odd("x".repeat((4 << 20) + 1), MANIFEST), ErrorKind::OutOfSpace, "over the limit of 4MiB");
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-type: {MANIFEST}\r\ncontent-length: 999\r\n\r\n{{");
    check(Box::new(move |_| cut.clone().into_bytes()), ErrorKind::Unavailable, "cannot pull");
    check(Box::new(|_| Vec::new()), ErrorKind::Unavailable, "cannot pull");
}

#[test]
fn a_pinned_digest_must_be_what_comes() {
    let (manifest, _) = scratch();
    let peer = Peer::start(move |_| manifest_answer(&manifest));
    let home = Home::new();
    let error = refused(&home, &format!("{}/app@{}", peer.host, Digest::of(b"other")), ErrorKind::Corrupt);
    assert!(error.contains("its digest is"), "{error}");
}
