//! One image in the forms in which registries have images: pulled and run, it is inside the box what `umoci unpack`
//! makes of it, path by path.

use crate::harness::{Home, Registry, given, not_here};
use crate::tree::{assert_inside, hash_of, hex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// What `umoci unpack` makes of the image `latest` of a layout, in the words of the walk inside the box.
fn unpacked(layout: &Path, bundle: &Path) -> BTreeMap<String, String> {
    run("umoci", &["unpack", "--image", &format!("{}:latest", layout.display()), bundle.to_str().unwrap()]);
    let root = bundle.join("rootfs");
    let mut seen = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        see(&root, &folder, &mut seen);
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path);
            } else {
                see(&root, &path, &mut seen);
            }
        }
    }
    seen
}

fn see(root: &Path, path: &Path, seen: &mut BTreeMap<String, String>) {
    let data = path.symlink_metadata().unwrap();
    let of = data.file_type();
    let device = || format!("{}:{}", rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
    let (kind, extra) = if of.is_dir() {
        ("dir", String::new())
    } else if of.is_symlink() {
        ("link", hex(fs::read_link(path).unwrap().as_os_str().as_bytes()))
    } else if of.is_fifo() {
        ("fifo", String::new())
    } else if of.is_char_device() {
        ("char", device())
    } else if of.is_block_device() {
        ("block", device())
    } else {
        let (size, hash) = hash_of(File::open(path).unwrap());
        ("file", format!("{size}:{hash}"))
    };
    let links = if of.is_dir() { 0 } else { data.nlink() };
    let (mode, uid, gid, mtime) = (data.mode() & 0o7777, data.uid(), data.gid(), data.mtime());
    let line = format!("{kind} {mode:o} {uid} {gid} {mtime} {links} [{extra}] [{}]", xattrs(path).join(","));
    let inside = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
    seen.insert(format!("/{}", String::from_utf8(inside.to_vec()).unwrap()), line);
}

fn xattrs(path: &Path) -> Vec<String> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        format!("{}={}", String::from_utf8_lossy(name), hex(&value[..length]))
    };
    let mut all: Vec<String> =
        names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()).map(value).collect();
    all.sort();
    all
}

/// A copy of the Debian image with two layers more: one takes away, one adds and replaces.
fn layered(home: &Home) -> PathBuf {
    let layout = home.path().join("layered");
    run("cp", &["--recursive", given("A3S_TEST_DEBIAN").to_str().unwrap(), layout.to_str().unwrap()]);
    let image = format!("{}:latest", layout.display());
    run("umoci", &["insert", "--image", &image, "--whiteout", "/usr/share/common-licenses"]);
    let added = home.path().join("added");
    fs::create_dir(&added).unwrap();
    let script = "echo new > $0/file; chmod 4711 $0/file; ln $0/file $0/hard; ln -s file $0/soft; chown 5:6 $0; \
                  setcap cap_net_raw+ep $0/hard 2>/dev/null || setfattr -n user.own -v value $0/hard";
    run("sh", &["-ec", script, added.to_str().unwrap()]);
    run("umoci", &["insert", "--image", &image, "--opaque", added.to_str().unwrap(), "/fixture/many"]);
    layout
}

/// Makes `latest` of a layout an index over its image for this host, and over the same for another one.
fn for_two_platforms(layout: &Path) {
    let index = layout.join("index.json");
    let mut top: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let latest = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "latest";
    let mut here = top["manifests"].as_array().unwrap().iter().find(latest).unwrap().clone();
    here.as_object_mut().unwrap().remove("annotations");
    run("umoci", &["config", "--image", &format!("{}:latest", layout.display()), "--architecture", "s390x"]);
    top = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let mut there = top["manifests"].as_array().unwrap().iter().find(latest).unwrap().clone();
    there.as_object_mut().unwrap().remove("annotations");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    for (entry, architecture) in [(&mut here, architecture), (&mut there, "s390x")] {
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let both = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [there, here]}).to_string();
    let digest: String = Sha256::digest(&both).iter().map(|b| format!("{b:02x}")).collect();
    fs::write(layout.join("blobs/sha256").join(&digest), &both).unwrap();
    let name = json!({"org.opencontainers.image.ref.name": "latest"});
    let entry = json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": both.len(), "annotations": name});
    fs::write(&index, json!({"schemaVersion": 2, "manifests": [entry]}).to_string()).unwrap();
}

/// Pulls `name` into an empty store, runs it, and looks from inside.
fn assert_pulled_as(name: &str, expected: &BTreeMap<String, String>) {
    let home = Home::empty();
    home.a3s(&["run", "-d", "--name", "form", "--memory", "1g", name, "sleep", "100000"]).run().ok();
    assert_inside(&home, "form", expected);
}

#[test]
fn an_image_that_is_pulled_in_any_form_is_inside_as_umoci_unpacks_it() {
    if !rustix::process::geteuid().is_root() {
        return not_here("umoci makes device nodes and gives files away, which root alone may");
    }
    let home = Home::empty();
    let registry = Registry::start(home.path(), "");
    let layout = layered(&home);
    let expected = unpacked(&layout, &home.path().join("bundle"));
    let zstd = ["--dest-compress", "--dest-compress-format", "zstd"];
    let gzip = registry.push(&layout, "app:oci-gzip", &["--format", "oci"]);
    assert_pulled_as(&gzip, &expected);
    let zstd = registry.push(&layout, "app:oci-zstd", &[&["--format", "oci"][..], &zstd].concat());
    assert_pulled_as(&zstd, &expected);
    for_two_platforms(&layout);
    let both = registry.push(&layout, "app:docker-both", &["--all", "--format", "v2s2"]);
    assert_pulled_as(&both, &expected);

    // And in one layer, as another tool makes and pushes it.
    let place = home.path().join("buildah");
    let (root, runroot) = (place.join("root"), place.join("run"));
    let buildah = |args: &[&str]| {
        let storage = ["--root", root.to_str().unwrap(), "--runroot", runroot.to_str().unwrap()];
        run("buildah", &[&storage[..], &["--storage-driver", "vfs"], args].concat()).trim().to_owned()
    };
    let container = buildah(&["from", "scratch"]);
    let tree = home.path().join("bundle/rootfs");
    buildah(&["add", "--quiet", &container, tree.to_str().unwrap(), "/"]);
    let built = format!("{}/app:built", registry.host);
    let to = format!("docker://{built}");
    buildah(&["commit", "--quiet", "--format", "docker", "--tls-verify=false", &container, &to]);
    let copy = home.path().join("copy");
    let into = format!("oci:{}:latest", copy.display());
    run("skopeo", &["--insecure-policy", "copy", "-q", "--src-tls-verify=false", &to, &into]);
    assert_pulled_as(&built, &unpacked(&copy, &home.path().join("bundle-of-copy")));
}
