//! Registries on bad days, and bad registries: each pull recovers or says why not, and the store stays sound.

use crate::again;
use crate::tools::{Home, Peer, Registry, arg, run};
use a3s_box_core::{BoxError, ErrorKind};
use a3s_box_image::{
    Digest, Image, ImageRef, Keychain, Limits, Platform, Pull, PullEvent, Registries, Result,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Bytes that do not compress, the same for the same `seed`.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// A tar with one file.
pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), content).unwrap();
    run("tar", &["-C", arg(dir.path()), "--mtime=@0", "--sort=name", "-c", name]).stdout
}

/// An image as a registry has it: blobs by their digests, and the manifest.
pub struct Served {
    pub blobs: HashMap<String, Vec<u8>>,
    pub manifest: String,
}

impl Served {
    /// An image of these layers, whose media types end in `suffix` and which unpack to `tars`.
    pub fn new(layers: &[Vec<u8>], suffix: &str, tars: &[Vec<u8>]) -> Self {
        let digests: Vec<String> = tars.iter().map(|tar| format!("\"{}\"", Digest::of(tar))).collect();
        let architecture = Platform::host().architecture;
        let config = format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            digests.join(",")
        );
        let descriptor = |kind: &str, blob: &[u8]| {
            format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, Digest::of(blob), blob.len())
        };
        let listed: Vec<String> =
            layers.iter().map(|blob| descriptor(&format!("{LAYER}{suffix}"), blob)).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            descriptor(CONFIG, config.as_bytes()),
            listed.join(",")
        );
        let all = layers.iter().cloned().chain([config.into_bytes()]);
        Self { blobs: all.map(|blob| (Digest::of(&blob).to_string(), blob)).collect(), manifest }
    }

    /// An image of plain layers with a file of noise each.
    pub fn plain(seeds: &[u64], length: usize) -> Self {
        let tars: Vec<_> =
            seeds.iter().map(|seed| tar(&format!("file-{seed}"), &noise(*seed, length))).collect();
        Self::new(&tars, "", &tars)
    }

    /// The blob that a request asks for.
    pub fn asked(&self, request: &str) -> Option<&Vec<u8>> {
        let path = request.split(' ').nth(1)?;
        self.blobs.get(path.rsplit('/').next()?)
    }

    /// What an honest registry answers.
    pub fn answer(&self, request: &str) -> Vec<u8> {
        if request.contains("/manifests/") {
            return answer("200 OK", &format!("content-type: {MANIFEST}\r\n"), self.manifest.as_bytes());
        }
        match (self.asked(request), range(request)) {
            (Some(blob), Some((first, last))) => {
                let last = last.unwrap_or(blob.len() - 1).min(blob.len() - 1);
                let span = format!("content-range: bytes {first}-{last}/{}\r\n", blob.len());
                answer("206 Partial Content", &span, &blob[first..=last])
            }
            (Some(blob), None) => answer("200 OK", "", blob),
            (None, _) => answer("404 Not Found", "", b""),
        }
    }
}

/// First and last byte of the range that is asked for.
pub fn range(request: &str) -> Option<(usize, Option<usize>)> {
    let span = request.split("range: bytes=").nth(1)?.split("\r\n").next()?;
    let (first, last) = span.split_once('-')?;
    Some((first.parse().unwrap(), last.parse().ok()))
}

pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The part of an answer that a cut connection leaves: `bytes` of the body.
pub fn cut(mut answer: Vec<u8>, bytes: usize) -> Vec<u8> {
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    answer.truncate(body + bytes);
    answer
}

fn pull(home: &Home, host: &str) -> Result<Image> {
    home.pull(&format!("{host}/app"), &Keychain::default(), &Registries::default().with_tries(4), &|_| {})
}

/// The error of a pull that must fail, and leave nothing but beginnings.
fn refused(home: &Home, host: &str, kind: ErrorKind) -> String {
    let error = BoxError::from(pull(home, host).unwrap_err());
    assert_eq!(error.kind(), kind, "{error}");
    assert!(home.store.list().unwrap().is_empty());
    assert!(home.store.fsck(&home.rootfs, &mut |_| {}).unwrap().blobs.is_empty());
    assert!(home.leftovers().iter().all(|name| !name.starts_with("rootfs")), "{:?}", home.leftovers());
    error.to_string()
}

#[test]
fn a_connection_that_is_cut_again_and_again_is_taken_up_where_it_was_cut() {
    let served = Served::plain(&[1, 2], 3 << 20);
    let total: usize = served.blobs.values().map(Vec::len).sum();
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let peer = Peer::start(move |request| {
        let whole = served.answer(request);
        let large = served.asked(request).is_some_and(|blob| blob.len() > 300_000);
        // What is left of a blob may be less.
        let short = if large && whole.len() > 301_000 { cut(whole, 300_000) } else { whole };
        count.fetch_add(short.len(), Ordering::Relaxed);
        short
    });
    let home = Home::new();
    let image = pull(&home, &peer.host).unwrap();
    assert!(home.rootfs.path(&image).exists());
    // Every byte came about once: resumed, not begun again.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < total + total / 10, "{sent} bytes for {total}");
    assert!(peer.requests().iter().filter(|request| range(request).is_some()).count() > 10);
}

#[test]
fn a_registry_without_ranges_sends_again_what_is_there() {
    let served = Served::plain(&[3], 1 << 20);
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(move |request| {
        let plain: String =
            request.lines().filter(|line| !line.starts_with("range")).collect::<Vec<_>>().join("\r\n");
        let whole = served.answer(&plain);
        match served.asked(request) {
            Some(blob) if blob.len() > 1000 => {
                cut(whole, 500_000 * (1 + tries.fetch_add(1, Ordering::Relaxed)))
            }
            _ => whole,
        }
    });
    pull(&Home::new(), &peer.host).unwrap();
}

#[test]
fn a_large_layer_comes_in_ranges_at_a_time_and_each_is_taken_up() {
    let served = Served::plain(&[4], 40 << 20);
    let blob = served.blobs.values().map(Vec::len).max().unwrap();
    let (now, most) = (AtomicUsize::new(0), std::sync::Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let round = AtomicUsize::new(0);
    let peer = Peer::start(move |request| {
        let asked = range(request);
        if asked.is_none() {
            return served.answer(request);
        }
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Long enough that a second one comes, if there is one.
        let begin = Instant::now();
        while seen.load(Ordering::SeqCst) < 2 && begin.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        let whole = served.answer(request);
        now.fetch_sub(1, Ordering::SeqCst);
        if round.fetch_add(1, Ordering::SeqCst) % 3 == 1 { cut(whole, 1 << 20) } else { whole }
    });
    let home = Home::new();
    let events = Mutex::new(0);
    let watch = |event| {
        if let PullEvent::Received { bytes, .. } = event {
            let mut last = events.lock().unwrap();
            *last = bytes.max(*last);
        }
    };
    let name = format!("{}/app", peer.host);
    let image = home.pull(&name, &Keychain::default(), &Registries::default(), &watch).unwrap();
    assert!(most.load(Ordering::SeqCst) >= 2, "ranges came one by one");
    assert_eq!(*events.lock().unwrap(), blob as u64);
    assert!(home.rootfs.path(&image).exists());
}

#[test]
fn a_busy_registry_is_waited_for_as_long_as_it_asks() {
    let served = Served::plain(&[5], 1000);
    let (first, busy) = (Instant::now(), AtomicUsize::new(0));
    let peer = Peer::start(move |request| match busy.fetch_add(1, Ordering::SeqCst) {
        0 => answer("429 Too Many Requests", "retry-after: 1\r\n", b""),
        2 => answer("503 Service Unavailable", "", b""),
        4 => answer("500 Internal Server Error", "", b""),
        _ => served.answer(request),
    });
    pull(&Home::new(), &peer.host).unwrap();
    assert!(first.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_registry_that_is_busy_for_long_is_not_waited_for() {
    let peer = Peer::start(|_| answer("429 Too Many Requests", "retry-after: 3600\r\n", b""));
    let begin = Instant::now();
    let error = refused(&Home::new(), &peer.host, ErrorKind::Unavailable);
    assert!(error.contains("429") && error.contains("try again in 3600 s"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10));
    let peer = Peer::start(|_| answer("503 Service Unavailable", "", b""));
    assert!(refused(&Home::new(), &peer.host, ErrorKind::Unavailable).contains("503"));
}

#[test]
fn nobody_is_fed_by_the_byte() {
    let served = Served::plain(&[6], 1 << 20);
    let peer = Peer::start(move |request| {
        let whole = served.answer(request);
        if served.asked(request).is_some_and(|blob| blob.len() > 1000) { cut(whole, 100) } else { whole }
    });
    let error = refused(&Home::new(), &peer.host, ErrorKind::Unavailable);
    assert!(error.contains("cannot read blob sha256:"), "{error}");
    assert!(peer.requests().len() < 20, "{}", peer.requests().len());
}

/// A lie about one layer, and what is said of it.
#[test]
fn lies_about_a_layer_are_found_and_nothing_of_it_stays() {
    type Lie = fn(Vec<u8>, &str) -> Vec<u8>;
    let lies: [(Lie, &str); 6] = [
        (|blob, _| answer("200 OK", "", &[&blob[..blob.len() - 1], b"!"].concat()), "its digest is"),
        (|blob, _| answer("200 OK", "", &blob[1..]), "1 bytes are missing"),
        (|blob, _| answer("200 OK", "", &[&blob[..], b"!"].concat()), "longer than declared"),
        (
            |blob, _| {
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                [&head[..], &blob, b"and more"].concat()
            },
            "longer than declared",
        ),
        (|blob, _| answer("206 Partial Content", "content-range: bytes 7-8/9\r\n", &blob), "the range"),
        (|blob, _| answer("206 Partial Content", "", &blob), "the range"),
    ];
    for (lie, said) in lies {
        let served = Served::plain(&[7], 100_000);
        let peer = Peer::start(move |request| match served.asked(request) {
            Some(blob) if blob.len() > 1000 => lie(blob.clone(), request),
            _ => served.answer(request),
        });
        let home = Home::new();
        let error = refused(&home, &peer.host, ErrorKind::Corrupt);
        assert!(error.contains(said), "{said}: {error}");
        assert!(home.leftovers().iter().all(|name| !name.contains("partial")), "{:?}", home.leftovers());
    }
}

#[test]
fn json_that_is_something_else_inside_is_refused() {
    let served = Served::plain(&[8], 100);
    let inside = served.manifest.replace(MANIFEST, "application/vnd.oci.image.index.v1+json");
    let kind = format!("content-type: {MANIFEST}\r\n");
    let peer = Peer::start(move |_| answer("200 OK", &kind, inside.as_bytes()));
    assert!(refused(&Home::new(), &peer.host, ErrorKind::Corrupt).contains("inside"));
}

#[test]
fn a_bomb_does_not_go_off() {
    // 1 GiB of zeros in a megabyte.
    let mut header = tar("bomb", b"")[..512].to_vec();
    header[124..136].copy_from_slice(b"10000000000\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&header).unwrap();
    for _ in 0..1024 {
        packed.write_all(&[0; 1 << 20]).unwrap();
    }
    let served = Served::new(&[packed.finish().unwrap()], "+gzip", &[header]);
    let peer = Peer::start(move |request| served.answer(request));
    let mut home = Home::new();
    home.rootfs = home.rootfs.clone().with_limits(Limits { size: 64 << 20, ..Limits::default() });
    let error = refused(&home, &peer.host, ErrorKind::OutOfSpace);
    assert!(error.contains("over the limit of 64MiB"), "{error}");
}

#[test]
fn a_layer_that_unpacks_to_something_else_is_refused() {
    let served = Served::new(&[tar("a", b"a")], "", &[tar("b", b"b")]);
    let peer = Peer::start(move |request| served.answer(request));
    assert!(refused(&Home::new(), &peer.host, ErrorKind::Corrupt).contains("it unpacks to"));
}

#[test]
fn a_redirect_to_another_host_gets_no_token_and_ranges_follow_it() {
    let served = std::sync::Arc::new(Served::plain(&[9], 20 << 20));
    let blobs = served.clone();
    let elsewhere = Peer::start(move |request| blobs.answer(request));
    let target = elsewhere.host.clone();
    let peer = Peer::start_with(move |host, request| {
        if request.starts_with("GET /token") {
            return answer("200 OK", "", br#"{"token":"secret-token"}"#);
        }
        if !request.contains("authorization: Bearer secret-token\r\n") {
            let challenge = format!("www-authenticate: Bearer realm=\"http://{host}/token\"\r\n");
            return answer("401 Unauthorized", &challenge, b"");
        }
        match served.asked(request) {
            Some(blob) => {
                let location = format!("location: http://{target}/cdn/{}\r\n", Digest::of(blob));
                answer("307 Temporary Redirect", &location, b"")
            }
            None => served.answer(request),
        }
    });
    pull(&Home::new(), &peer.host).unwrap();
    let seen = elsewhere.requests();
    assert!(seen.iter().filter(|request| range(request).is_some()).count() >= 4);
    assert!(seen.iter().all(|request| !request.to_lowercase().contains("authorization")), "{seen:?}");
}

#[test]
fn redirects_without_an_end_have_one() {
    let peer = Peer::start_with(|host, _| {
        answer("302 Found", &format!("location: http://{host}/v2/app/manifests/latest\r\n"), b"")
    });
    refused(&Home::new(), &peer.host, ErrorKind::Unavailable);
    assert!(peer.requests().len() < 30);
}

#[test]
fn a_beginning_that_was_left_is_continued_and_a_wrong_one_replaced() {
    let served = Served::plain(&[10], 200_000);
    let blob = served.blobs.values().max_by_key(|blob| blob.len()).unwrap().clone();
    let whole = std::sync::Arc::new(served);
    for (beginning, ranges) in [(blob[..150_000].to_vec(), 1), (vec![0; 150_000], 1)] {
        let serve = whole.clone();
        let peer = Peer::start(move |request| serve.answer(request));
        let home = Home::new();
        let partial = home.path("images/partial");
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(Digest::of(&blob).hex()), beginning).unwrap();
        let image = pull(&home, &peer.host).unwrap();
        assert!(home.rootfs.path(&image).exists());
        let asked = peer.requests();
        assert_eq!(asked.iter().filter(|r| range(r) == Some((150_000, None))).count(), ranges);
    }
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let served = std::sync::Arc::new(Served::plain(&[11], 1000));
    let serve = served.clone();
    let origin = Peer::start(move |request| serve.answer(request));
    let mirror = Peer::start(move |request| served.answer(request));
    let broken = Peer::start(|_| answer("404 Not Found", "", b""));
    let settings = |mirrors: &str| {
        let text = format!("['{}']\nmirrors = [{mirrors}]", origin.host);
        Registries::new(toml::from_str(&text).unwrap(), Vec::new()).with_tries(2)
    };
    let name: ImageRef = format!("{}/app", origin.host).parse().unwrap();
    let get = |registries: &Registries| {
        Home::new().pull(&name.to_string(), &Keychain::default(), registries, &|_| {}).unwrap().digest
    };
    let digest = get(&settings(&format!("'{}', '{}/hub'", broken.host, mirror.host)));
    assert!(origin.requests().is_empty());
    assert!(broken.requests()[0].starts_with("GET /v2/app/manifests/latest "));
    assert!(mirror.requests()[0].starts_with("GET /v2/hub/app/manifests/latest "));
    assert_eq!(get(&settings(&format!("'{}'", broken.host))), digest);
    assert!(!origin.requests().is_empty());
}

#[test]
fn registries_elsewhere_are_reached_by_the_proxy_and_those_here_are_not() {
    let served = Served::plain(&[12], 1000);
    let proxy = Peer::start(move |request| served.answer(request));
    let home = Home::new();
    let settings = "['registry.test:8080']\nplain-http = true";
    let mut process = again::pull(&home, "registry.test:8080/app", settings);
    process.env("HTTP_PROXY", format!("http://{}", proxy.host));
    let said = again::said(&process.output().unwrap());
    let asked = proxy.requests();
    assert!(said.is_ok(), "{said:?} {asked:?}");
    assert!(asked.iter().any(|request| request.contains("registry.test:8080")), "{asked:?}");
    let registry = Registry::start(&home);
    let missing = format!("{}/none", registry.host);
    let mut process = again::pull(&home, &missing, "");
    process.env("HTTP_PROXY", format!("http://{}", proxy.host));
    assert!(again::said(&process.output().unwrap()).unwrap_err().contains("not found"));
    assert_eq!(proxy.requests().len(), asked.len());
}

#[test]
fn a_registry_behind_tls_needs_an_authority_that_is_trusted() {
    let home = Home::new();
    let [authority, key, request, certificate] =
        ["ca.pem", "key.pem", "request.pem", "cert.pem"].map(|n| home.path(n));
    let (names, signer) = (home.path("names"), home.path("ca.key"));
    fs::write(&names, "subjectAltName=IP:127.0.0.1\n").unwrap();
    let new = |subject: &str, rest: &[&str]| {
        run("openssl", &[&["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject][..], rest].concat());
    };
    new("/CN=authority", &["-x509", "-days", "2", "-keyout", arg(&signer), "-out", arg(&authority)]);
    new("/CN=registry", &["-keyout", arg(&key), "-out", arg(&request)]);
    let sign =
        ["x509", "-req", "-days", "2", "-CAcreateserial", "-in", arg(&request), "-out", arg(&certificate)];
    let by = ["-CA", arg(&authority), "-CAkey", arg(&signer), "-extfile", arg(&names)];
    run("openssl", &[&sign[..], &by].concat());
    let tls = format!(", tls: {{certificate: '{}', key: '{}'}}", arg(&certificate), arg(&key));
    let registry = Registry::start_with(&home, &tls, "");
    let reference = format!("{}/app:1", registry.host);
    let layout = crate::load::layout(&home, "layout");
    let from = format!("oci:{}:x", arg(&layout));
    crate::load::skopeo(&from, &format!("docker://{reference}"), &["--dest-tls-verify=false"]);
    let get = |settings: &str| {
        let registries = Registries::new(toml::from_str(settings).unwrap(), Vec::new()).with_tries(2);
        home.pull(&reference, &Keychain::default(), &registries, &|_| {})
    };
    let https = format!("['{}']\nplain-http = false", registry.host);
    let error = BoxError::from(get(&https).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    get(&format!("{https}\nca = ['{}']", arg(&authority))).unwrap();
    let nothing = get(&format!("{https}\nca = ['{}']", arg(&key)));
    assert!(nothing.unwrap_err().to_string().contains("no PEM certificate"));
}

#[test]
fn an_image_for_another_platform_can_be_kept_but_not_run() {
    let served = Served::plain(&[13], 1000);
    let (here, there) = (Platform::host().architecture, "riscv64");
    let config = served.blobs.values().min_by_key(|blob| blob.len()).unwrap().clone();
    let other = String::from_utf8(config.clone()).unwrap().replace(&here, there);
    let mut served = served;
    served.manifest =
        served.manifest.replace(&Digest::of(&config).to_string(), &Digest::of(other.as_bytes()).to_string());
    served.manifest =
        served.manifest.replace(&format!("\"size\":{}", config.len()), &format!("\"size\":{}", other.len()));
    served.blobs.insert(Digest::of(other.as_bytes()).to_string(), other.into_bytes());
    let peer = Peer::start(move |request| served.answer(request));
    let home = Home::new();
    let error = refused(&home, &peer.host, ErrorKind::Unsupported);
    assert!(error.contains("has no variant for linux/"), "{error}");
    let get = || {
        home.store.pull(&Pull {
            reference: &format!("{}/app", peer.host).parse().unwrap(),
            platform: format!("linux/{there}").parse().unwrap(),
            registries: &Registries::default(),
            keychain: &Keychain::default(),
            verify: &[],
            rootfs: None,
            make_room: &|_| Ok(()),
            progress: &|_| {},
        })
    };
    let image = get().unwrap();
    let listed = home.store.resolve(&format!("{}/app", peer.host)).unwrap();
    assert_eq!((listed.digest, listed.config.platform.architecture.as_str()), (image.digest, there));
    let refused = BoxError::from(home.rootfs.ensure(&home.store, &listed).unwrap_err());
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    home.store.save(&[image.digest.to_string()], "x", std::io::sink()).unwrap();
}
