//! Damaged and hostile input: a clear error that names the thing, and nothing left behind.

use crate::hostile::{Served, cut, noise, tar};
use crate::load::layout;
use crate::tools::{Home, Peer, arg, run};
use a3s_box_core::{BoxError, ErrorKind};
use a3s_box_image::{Image, ImageStore, Keychain, Limits, Platform, Pull, Registries, Result, RootfsCache};
use std::fs;
use std::path::{Path, PathBuf};

/// What a blob becomes; `None` removes it.
type Harm = fn(Vec<u8>) -> Option<Vec<u8>>;

fn name(blob: &Path) -> &str {
    blob.file_name().unwrap().to_str().unwrap()
}

/// The blobs of a layout.
fn blobs(layout: &Path) -> Vec<PathBuf> {
    fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The error of `result`, which must have the kind that a user is to see.
fn refused<T>(result: Result<T>, kind: ErrorKind) -> String {
    let Err(error) = result else { panic!("it was accepted") };
    let error = BoxError::from(error);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.hint().is_some(), "{error}");
    error.to_string()
}

#[test]
fn a_folder_that_is_no_layout_is_refused() {
    let home = Home::new();
    let error = refused(home.store.load(home.dir.path(), None), ErrorKind::Unsupported);
    assert!(error.ends_with("a folder that is no OCI image layout is not supported"), "{error}");
    let error = BoxError::from(home.store.load(&home.path("nothing"), None).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("/nothing"), "{error}");
    assert_eq!(home.leftovers(), [] as [&str; 0]);
}

#[test]
fn missing_cut_and_tampered_blobs_are_refused_by_digest() {
    let home = Home::new();
    let good = layout(&home, "good");
    let bad = home.path("bad");
    let manifest =
        String::from_utf8(run("skopeo", &["inspect", "--raw", &format!("oci:{}:x", arg(&good))]).stdout);
    let index = fs::read_to_string(good.join("index.json")).unwrap();
    // The layout keeps blobs of earlier images too, which do not matter.
    let used = format!("{index}{}", manifest.unwrap());
    let harms: [(&str, Harm); 4] = [
        ("missing", |_| None),
        ("bytes are missing", |content| Some(content[..content.len() / 2].to_vec())),
        ("its digest is", |content| Some([&[content[0] ^ 1], &content[1..]].concat())),
        ("longer than declared", |content| Some([&content[..], b"!"].concat())),
    ];
    let mut harmed = 0;
    for blob in blobs(&good).iter().filter(|blob| used.contains(name(blob))) {
        for (said, harm) in harms {
            run("cp", &["-r", arg(&good), arg(&bad)]);
            let path = bad.join("blobs/sha256").join(name(blob));
            match harm(fs::read(&path).unwrap()) {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = refused(home.store.load(&bad, None), ErrorKind::Corrupt);
            assert!(error.contains(name(blob)) && error.contains(said), "{said}: {error}");
            assert_eq!(home.leftovers(), [] as [&str; 0], "{said}");
            fs::remove_dir_all(&bad).unwrap();
            harmed += 1;
        }
    }
    assert_eq!(harmed, 3 * harms.len(), "a manifest, a configuration and a layer");
}

#[test]
fn damage_inside_the_store_is_found_before_anything_runs() {
    let home = Home::new();
    home.store.load(&layout(&home, "layout"), Some(&"test/x".parse().unwrap())).unwrap();
    let image = home.store.resolve("test/x").unwrap();
    let layer = &home.store.layers(&image)[0];
    let content = fs::read(&layer.blob).unwrap();
    fs::write(&layer.blob, &content[..content.len() - 1]).unwrap();
    let error = refused(home.rootfs.ensure(&home.store, &image), ErrorKind::Corrupt);
    assert!(error.contains(&layer.descriptor.digest.to_string()), "{error}");
    let mut tampered = content.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    fs::write(&layer.blob, tampered).unwrap();
    refused(home.rootfs.ensure(&home.store, &image), ErrorKind::Corrupt);
    assert!(!home.rootfs.path(&image).exists());
    fs::write(&layer.blob, content).unwrap();
    home.rootfs.ensure(&home.store, &image).unwrap();
    // The configuration is read on every use.
    let config = home.path("images/blobs/sha256").join(image.id().hex());
    fs::write(&config, b"{}").unwrap();
    refused(home.store.resolve("test/x"), ErrorKind::Corrupt);
    // And still the image can be removed.
    home.store.remove("test/x", false, &[].into(), &home.rootfs).unwrap();
    assert_eq!(home.leftovers(), [] as [&str; 0]);
}

#[test]
fn archives_that_are_none_are_refused() {
    let home = Home::new();
    for content in
        [&b""[..], b"not a tar", &[0xff; 10_000], &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd, 9]]
    {
        let loaded = home.store.load_archive("the input", content, None);
        let error = BoxError::from(loaded.unwrap_err());
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{error}");
        assert!(error.to_string().contains("the input"), "{error}");
    }
    assert_eq!(home.leftovers(), [] as [&str; 0]);
}

#[test]
fn a_cut_archive_leaves_nothing() {
    let home = Home::new();
    let archive = home.path("a.tar");
    crate::load::skopeo(
        &format!("oci:{}:x", arg(&layout(&home, "layout"))),
        &format!("docker-archive:{}:x:1", arg(&archive)),
        &[],
    );
    let whole = fs::read(&archive).unwrap();
    for length in (0..whole.len() - 2048).step_by(1024) {
        let cut = home.store.load_archive("the input", &whole[..length], None);
        assert!(cut.is_err(), "{length} of {} bytes", whole.len());
        assert_eq!(home.leftovers(), [] as [&str; 0]);
    }
    home.store.load_archive("the input", &whole[..], None).unwrap();
}

#[test]
fn an_unknown_media_type_is_named() {
    let home = Home::new();
    let bad = layout(&home, "bad");
    let index = fs::read_to_string(bad.join("index.json")).unwrap();
    fs::write(bad.join("index.json"), index.replace("image.manifest.v1", "image.surprise.v1")).unwrap();
    let error = refused(home.store.load(&bad, None), ErrorKind::Unsupported);
    assert!(error.contains("application/vnd.oci.image.surprise.v1+json"), "{error}");
}

/// A file system of 1 MiB, which is full soon.
struct Small(PathBuf);

impl Small {
    fn new(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", arg(&at)]);
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run("umount", &[arg(&self.0)]);
    }
}

/// Pulls the image `app` of `peer`.
fn pull(store: &ImageStore, peer: &Peer, rootfs: Option<&RootfsCache>) -> Result<Image> {
    store.pull(&Pull {
        reference: &format!("{}/app", peer.host).parse().unwrap(),
        platform: Platform::host(),
        registries: &Registries::default(),
        keychain: &Keychain::default(),
        verify: &[],
        rootfs,
        make_room: &|_| Ok(()),
        progress: &|_| {},
    })
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let home = Home::new();
    let layout = home.path("layout");
    run("umoci", &["init", "--layout", arg(&layout)]);
    let image = format!("{}:x", arg(&layout));
    run("umoci", &["new", "--image", &image]);
    let big = home.path("big");
    run("dd", &["if=/dev/urandom", &format!("of={}", arg(&big)), "bs=1M", "count=3", "status=none"]);
    run("umoci", &["insert", "--image", &image, arg(&big), "/big"]);
    home.store.load(&layout, Some(&"test/big".parse().unwrap())).unwrap();
    let image = home.store.resolve("test/big").unwrap();

    let small = Small::new(home.path("small"));
    let cache = RootfsCache::open(small.0.join("rootfs")).unwrap();
    let error = refused(cache.ensure(&home.store, &image), ErrorKind::OutOfSpace);
    assert!(error.contains("small/rootfs"), "{error}");
    assert!(fs::metadata(cache.path(&image)).is_err());
    let store = ImageStore::open(small.0.join("images")).unwrap();
    refused(store.load(&layout, None), ErrorKind::OutOfSpace);
    assert_eq!(fs::read_dir(small.0.join("images/blobs/sha256")).unwrap().count(), 0);

    let served = Served::plain(&[1], 3 << 20);
    let peer = Peer::start(move |request| served.answer(request));
    refused(pull(&store, &peer, Some(&cache)), ErrorKind::OutOfSpace);
    assert_eq!(fs::read_dir(small.0.join("images/partial")).unwrap().count(), 0);

    let limits = Limits { size: 1 << 20, ..Limits::default() };
    let limited = home.rootfs.clone().with_limits(limits);
    refused(limited.ensure(&home.store, &image), ErrorKind::OutOfSpace);
    home.rootfs.ensure(&home.store, &image).unwrap();
}

#[test]
fn a_disk_that_one_layer_fills_is_not_kept_full_by_another() {
    let home = Home::new();
    let small = Small::new(home.path("small"));
    let store = ImageStore::open(small.0.join("images")).unwrap();
    // The first layer does not fit; the second begins, and never comes to its end.
    let tars = [tar("large", &noise(1, 3 << 20)), tar("slow", &noise(2, 200 << 10))];
    let (served, slow) = (Served::new(&tars, "", &tars), tars[1].clone());
    let peer = Peer::start(move |request| {
        let answer = served.answer(request);
        if served.asked(request) == Some(&slow) { cut(answer, 100 << 10) } else { answer }
    });
    refused(pull(&store, &peer, None), ErrorKind::OutOfSpace);
    assert_eq!(fs::read_dir(small.0.join("images/partial")).unwrap().count(), 0);
}
