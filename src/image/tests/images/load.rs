//! `load` from everything that skopeo and umoci write, and what the store then says.

use crate::tools::{Home, arg, run};
use a3s_box_image::{Digest, ImageError, ImageRef, Platform};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;

/// An OCI layout with one small image, called `x`.
pub fn layout(home: &Home, name: &str) -> std::path::PathBuf {
    let layout = home.path(name);
    run("umoci", &["init", "--layout", arg(&layout)]);
    let image = format!("{}:x", arg(&layout));
    run("umoci", &["new", "--image", &image]);
    let content = home.path(&format!("{name}-content"));
    fs::create_dir(&content).unwrap();
    fs::write(content.join("hello"), format!("hello from {name}")).unwrap();
    run("umoci", &["insert", "--image", &image, arg(&content), "/"]);
    run("umoci", &["config", "--image", &image, "--config.cmd", "/hello", "--config.env", "A=b"]);
    layout
}

pub fn skopeo(from: &str, to: &str, more: &[&str]) {
    run("skopeo", &[&["--insecure-policy", "copy", "-q"], more, &[from, to]].concat());
}

fn name(text: &str) -> ImageRef {
    text.parse().unwrap()
}

#[test]
fn every_form_of_an_image_loads_to_the_same_file_system() {
    let home = Home::new();
    let layout = layout(&home, "layout");
    let from = format!("oci:{}:x", arg(&layout));
    let [oci, docker] = ["oci.tar", "docker.tar"].map(|file| home.path(file));
    skopeo(&from, &format!("oci-archive:{}:example.com/oci:1", arg(&oci)), &[]);
    skopeo(&from, &format!("docker-archive:{}:example.com/docker:1", arg(&docker)), &[]);
    let zstd = home.path("zstd");
    let compress = ["--dest-compress", "--dest-compress-format", "zstd"];
    skopeo(&from, &format!("oci:{}:example.com/zstd:1", arg(&zstd)), &compress);
    run("gzip", &["-k", arg(&oci)]);
    run("zstd", &["-q", arg(&docker)]);
    let mut files = HashSet::new();
    for (path, own) in [
        (layout, None),
        (oci, Some("example.com/oci:1")),
        (home.path("oci.tar.gz"), Some("example.com/oci:1")),
        (docker, Some("example.com/docker:1")),
        (home.path("docker.tar.zst"), Some("example.com/docker:1")),
        (zstd, Some("example.com/zstd:1")),
    ] {
        let loaded = home.store.load(&path, None).unwrap();
        assert_eq!(loaded.len(), 1, "{path:?}");
        assert_eq!(loaded[0].reference, own.map(name), "{path:?}");
        let image = home.store.resolve(&loaded[0].digest.to_string()).unwrap();
        assert_eq!(image.config.config.cmd, ["/hello"]);
        assert!(image.config.config.env.contains(&"A=b".to_owned()));
        files.insert(home.rootfs.ensure(&home.store, &image).unwrap());
    }
    assert_eq!(files.len(), 1);
    // What we keep is a layout that other tools read.
    let ours = format!("oci:{}:example.com/oci:1", arg(&home.path("images")));
    skopeo(&ours, &format!("dir:{}", arg(&home.path("copy"))), &[]);
}

#[test]
fn an_archive_may_come_through_a_pipe() {
    let home = Home::new();
    let layout = layout(&home, "layout");
    let archive = home.path("a.tar");
    skopeo(&format!("oci:{}:x", arg(&layout)), &format!("oci-archive:{}:x", arg(&archive)), &[]);
    let file = File::open(&archive).unwrap();
    let loaded = home.store.load_archive("standard input", file, Some(&name("piped"))).unwrap();
    assert_eq!(loaded[0].reference, Some(name("piped")));
    assert_eq!(home.store.resolve("piped").unwrap().digest, loaded[0].digest);
}

#[test]
fn images_go_with_their_last_name() {
    let home = Home::new();
    let layout = layout(&home, "layout");
    let store = &home.store;
    let digest = store.load(&layout, Some(&name("a:1"))).unwrap()[0].digest;
    store.tag("a:1", &name("b:1")).unwrap();
    let built = home.rootfs.ensure(store, &store.resolve("b:1").unwrap()).unwrap();
    assert_eq!(store.list().unwrap().len(), 2);
    assert_eq!(store.resolve(&digest.short()).unwrap().digest, digest);
    let nobody = HashSet::new();
    let several = store.remove(&digest.to_string(), false, &nobody, &home.rootfs).unwrap_err();
    assert!(matches!(several, ImageError::SeveralNames { .. }), "{several}");
    let removed = store.remove("a:1", false, &nobody, &home.rootfs).unwrap();
    assert_eq!((removed.untagged.join(" "), removed.deleted), ("docker.io/library/a:1".to_owned(), None));
    let used = store.remove("b:1", false, &HashSet::from([digest]), &home.rootfs).unwrap_err();
    assert!(matches!(used, ImageError::InUse { .. }), "{used}");
    assert!(built.exists());
    assert_eq!(store.remove("b:1", false, &nobody, &home.rootfs).unwrap().deleted, Some(digest));
    assert_eq!(home.leftovers(), [] as [&str; 0]);
    assert!(matches!(store.resolve("b:1").unwrap_err(), ImageError::NotFound { .. }));
}

#[test]
fn a_name_moves_to_the_newest_image() {
    let home = Home::new();
    let [one, two] = ["one", "two"].map(|it| layout(&home, it));
    let load = |path: &Path| home.store.load(path, Some(&name("app"))).unwrap()[0].digest;
    let (old, new) = (load(&one), load(&two));
    assert_ne!(old, new);
    assert_eq!(home.store.resolve("app").unwrap().digest, new);
    // A box may still use the old one, so it stays until it is removed.
    assert_eq!(home.store.resolve(&old.to_string()).unwrap().reference, None);
    home.store.remove(&old.to_string(), false, &HashSet::new(), &home.rootfs).unwrap();
    assert_eq!(home.store.list().unwrap().len(), 1);
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Puts an index of `manifests` into the layout; its descriptor.
pub fn add_index(layout: &Path, manifests: &[Value]) -> Value {
    let json = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
    let digest = Digest::of(json.as_bytes());
    fs::write(layout.join("blobs/sha256").join(digest.hex()), &json).unwrap();
    json!({"mediaType": INDEX, "digest": digest, "size": json.len()})
}

#[test]
fn an_index_leads_to_the_image_of_this_platform() {
    let home = Home::new();
    let layout = layout(&home, "layout");
    let top: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let host = Platform::host();
    let mut here = top["manifests"][0].clone();
    here["platform"] = json!({"os": "linux", "architecture": host.architecture});
    // What is not for this host need not even be there.
    let there = json!({"mediaType": here["mediaType"], "digest": Digest::of(b"there"), "size": 5,
        "platform": {"os": "linux", "architecture": "s390x"}});
    let load = |image: &Value| {
        let index = json!({"schemaVersion": 2, "manifests": [image]}).to_string();
        fs::write(layout.join("index.json"), index).unwrap();
        home.store.load(&layout, Some(&name("multi")))
    };
    let index = add_index(&layout, &[there.clone(), here]);
    let nested = add_index(&layout, std::slice::from_ref(&index));
    for top in [&index, &nested] {
        let loaded = load(top).unwrap();
        assert_eq!(json!(loaded[0].digest), top["digest"]);
        assert_eq!(home.store.resolve("multi").unwrap().config.platform.architecture, host.architecture);
    }
    let deep = (0..4).fold(nested, |inner, _| add_index(&layout, &[inner]));
    assert!(matches!(load(&deep).unwrap_err(), ImageError::TooLarge { .. }));
    let error = load(&add_index(&layout, &[there])).unwrap_err().to_string();
    assert!(error.contains("only for linux/s390x"), "{error}");
}

#[test]
fn a_damaged_image_does_not_cost_a_box_its_rootfs_image() {
    let home = Home::new();
    let [used, other] = ["used", "other"].map(|it| layout(&home, it));
    home.store.load(&used, Some(&name("used"))).unwrap();
    home.store.load(&other, Some(&name("other"))).unwrap();
    let image = home.store.resolve("used").unwrap();
    let built = home.rootfs.ensure(&home.store, &image).unwrap();
    fs::write(home.path("images/blobs/sha256").join(image.id().hex()), "").unwrap();
    home.store.remove("other", false, &HashSet::from([image.digest]), &home.rootfs).unwrap();
    assert!(built.exists());
}
