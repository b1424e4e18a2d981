//! Round trips: an image that leaves by one way and comes by another is the same image.

use crate::load::{layout, skopeo};
use crate::tools::{Home, Registry, arg, run};
use a3s_box_image::{Digest, Image};
use std::fs;
use std::path::{Path, PathBuf};

/// A home with the image `test/app:1`, and its archive.
fn saved() -> (Home, Image, PathBuf) {
    let home = Home::new();
    let from = layout(&home, "layout");
    home.store.load(&from, Some(&"test/app:1".parse().unwrap())).unwrap();
    let image = home.store.resolve("test/app:1").unwrap();
    let archive = home.path("saved.tar");
    let file = fs::File::create(&archive).unwrap();
    home.store.save(&["test/app:1".into()], "saved.tar", file).unwrap();
    (home, image, archive)
}

/// The digest of the manifest in a `dir:` copy, and that of its configuration.
fn copied(dir: &Path) -> (Digest, String) {
    let json = fs::read(dir.join("manifest.json")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    (Digest::of(&json), value["config"]["digest"].as_str().unwrap().to_owned())
}

#[test]
fn what_was_saved_loads_to_the_same_image() {
    let (_home, image, archive) = saved();
    let other = Home::new();
    let loaded = other.store.load(&archive, None).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(other.store.resolve("test/app:1").unwrap(), image);
    // And saved again, it is the same archive.
    let mut again = Vec::new();
    other.store.save(&["test/app:1".into()], "memory", &mut again).unwrap();
    assert_eq!(Digest::of(&again), Digest::of(&fs::read(&archive).unwrap()));
}

#[test]
fn skopeo_and_podman_read_what_was_saved() {
    let (home, image, archive) = saved();
    let to = home.path("copy");
    skopeo(
        &format!("oci-archive:{}:1", arg(&archive)),
        &format!("dir:{}", arg(&to)),
        &["--preserve-digests"],
    );
    assert_eq!(copied(&to), (image.digest, image.id().to_string()));
    fs::remove_dir_all(&to).unwrap();
    // As `docker load` reads it: by manifest.json.
    skopeo(&format!("docker-archive:{}:test/app:1", arg(&archive)), &format!("dir:{}", arg(&to)), &[]);
    assert_eq!(copied(&to).1, image.id().to_string());
    let registry = Registry::start(&home);
    let reference = format!("{}/app:1", registry.host);
    let options = ["--preserve-digests", "--dest-tls-verify=false"];
    skopeo(&format!("oci-archive:{}:1", arg(&archive)), &format!("docker://{reference}"), &options);
    let pulled = Home::new();
    let by = (&Default::default(), &Default::default());
    assert_eq!(pulled.pull(&reference, by.0, by.1, &|_| {}).unwrap().digest, image.digest);
}

#[test]
fn a_docker_archive_of_skopeo_loads_to_the_same_configuration_and_layers() {
    let (home, image, _archive) = saved();
    let archive = home.path("docker.tar");
    let from = format!("oci:{}:x", arg(&home.path("layout")));
    skopeo(&from, &format!("docker-archive:{}:test/app:2", arg(&archive)), &[]);
    home.store.load(&archive, None).unwrap();
    let loaded = home.store.resolve("test/app:2").unwrap();
    assert_eq!(loaded.id(), image.id());
    assert_eq!(loaded.config.diff_ids(), image.config.diff_ids());
    // There and back again.
    let mut saved = Vec::new();
    home.store.save(&["test/app:2".into()], "memory", &mut saved).unwrap();
    let other = Home::new();
    other.store.load_archive("memory", &saved[..], None).unwrap();
    assert_eq!(other.store.resolve("test/app:2").unwrap(), loaded);
}

#[test]
fn several_images_share_their_blobs_in_an_archive() {
    let (home, image, _archive) = saved();
    home.store.tag("test/app:1", &"test/app:2".parse().unwrap()).unwrap();
    home.store.load(&layout(&home, "second"), Some(&"second:1".parse().unwrap())).unwrap();
    let names = ["test/app:1", "test/app:2", "second:1", "test/app:1"].map(str::to_owned);
    let mut saved = Vec::new();
    home.store.save(&names, "memory", &mut saved).unwrap();
    let other = Home::new();
    assert_eq!(other.store.load_archive("memory", &saved[..], None).unwrap().len(), 3);
    assert_eq!(other.store.resolve("test/app:2").unwrap().digest, image.digest);
    assert!(home.store.save(&["nothing".into()], "memory", std::io::sink()).is_err());
}

#[test]
fn a_damaged_blob_is_not_saved_unseen() {
    let (home, image, _archive) = saved();
    let blob = &home.store.layers(&image)[0].blob;
    let mut content = fs::read(blob).unwrap();
    content[20] ^= 1;
    fs::write(blob, content).unwrap();
    let error = home.store.save(&["test/app:1".into()], "memory", std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("its digest is"), "{error}");
}

#[test]
fn a_root_file_system_becomes_an_image() {
    let home = Home::new();
    let root = home.path("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/hostname"), "box\n").unwrap();
    let plain = run("tar", &["-C", arg(&root), "-c", "."]).stdout;
    let file = home.path("root.tar");
    fs::write(&file, &plain).unwrap();
    run("gzip", &["-k", arg(&file)]);
    run("zstd", &["-q", arg(&file)]);
    let date = "2024-01-01T00:00:00Z";
    let mut chains = Vec::new();
    for name in ["root.tar", "root.tar.gz", "root.tar.zst"] {
        let input = fs::File::open(home.path(name)).unwrap();
        let loaded =
            home.store.import_root(name, input, Some(&"root".parse().unwrap()), date.into()).unwrap();
        let image = home.store.resolve("root").unwrap();
        assert_eq!((image.digest, image.config.created.as_deref()), (loaded.digest, Some(date)));
        assert_eq!(image.config.diff_ids(), [Digest::of(&plain)]);
        assert_eq!(image.config.history[0].created_by, format!("import {name}"));
        chains.push(home.rootfs.ensure(&home.store, &image).unwrap());
    }
    chains.dedup();
    assert_eq!(chains.len(), 1);
    let before = home.leftovers();
    for (name, input) in [("nothing", &b""[..]), ("noise", &[7; 5000]), ("cut", &plain[..700])] {
        assert!(home.store.import_root(name, input, None, date.into()).is_err(), "{name}");
        assert_eq!(home.leftovers(), before, "{name}");
    }
    // Others take it for an image, too.
    let ours = format!("oci:{}:docker.io/library/root:latest", arg(&home.path("images")));
    skopeo(&ours, &format!("dir:{}", arg(&home.path("copy"))), &[]);
}
