//! Rootfs images: what the kernel shows of them equals what umoci unpacks from the same image.

use crate::tools::{Home, Registry, arg, run};
use crate::tree::{Seen, assert_same, see};
use a3s_box_image::{Keychain, Platform, Registries, RootfsCache};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A rootfs image that the kernel has mounted.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: PathBuf) -> Self {
        run("fsck.erofs", &[arg(image)]);
        fs::create_dir(&at).unwrap();
        run("mount", &["-t", "erofs", "-o", "ro,loop", arg(image), arg(&at)]);
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[arg(&self.0)]);
    }
}

/// Makes an OCI layout at `layout` whose image `x` has a layer of what each step changes in the root folder.
fn image(home: &Home, layout: &Path, steps: &[&dyn Fn(&Path)]) {
    run("umoci", &["init", "--layout", arg(layout)]);
    let image = format!("{}:x", arg(layout));
    run("umoci", &["new", "--image", &image]);
    let bundle = home.path("bundle");
    for step in steps {
        run("umoci", &["unpack", "--image", &image, arg(&bundle)]);
        step(&bundle.join("rootfs"));
        run("umoci", &["repack", "--image", &image, arg(&bundle)]);
        fs::remove_dir_all(&bundle).unwrap();
    }
}

/// A step that runs a script in the root folder.
fn script(text: &str) -> impl Fn(&Path) {
    move |root| drop(run("bash", &["-c", &format!("set -e; cd {}\n{text}", arg(root))]))
}

fn set_xattr(path: PathBuf, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

/// The kernel's view of the image built from `layout` equals umoci's.
fn assert_like_umoci(home: &Home, layout: &Path) {
    let loaded = home.store.load(layout, Some(&"test/x".parse().unwrap())).unwrap();
    assert_eq!(loaded.len(), 1);
    let built = home.rootfs.ensure(&home.store, &home.store.resolve("test/x").unwrap()).unwrap();
    let bundle = home.path("expected");
    run("umoci", &["unpack", "--image", &format!("{}:x", arg(layout)), arg(&bundle)]);
    let mounted = Mounted::new(&built, home.path("mounted"));
    let (ours, theirs) = (see(&mounted.0), see(&bundle.join("rootfs")));
    assert!(ours.len() > 1);
    assert_same(&ours, &theirs);
}

#[test]
fn every_kind_of_file_is_as_umoci_unpacks_it() {
    let home = Home::new();
    let layout = home.path("layout");
    let long_name = "n".repeat(255);
    let kinds = format!(
        "
        mkdir -p etc usr/bin 'ä/ö ü/日本' deep empty tmp
        chmod 1777 tmp; chmod 700 empty
        ln -s usr/bin bin; ln -s ../missing etc/dangling; ln -s /etc etc/absolute
        ln -s $(printf 'a%.0s' $(seq 1 4000)) etc/long-link
        printf hello > usr/bin/hello; chmod 6755 usr/bin/hello; ln usr/bin/hello usr/bin/again
        ln usr/bin/hello etc/thrice
        : > etc/empty; printf x > 'ä/ö ü/日本/file'; printf y > $'etc/not\\xff\\xfeutf8'
        touch {long_name}
        d=deep; for i in $(seq 1 100); do d=$d/level-with-a-long-name-$i; done; mkdir -p $d; echo z > $d/end
        mknod dev-null c 1 3; mknod big c 300 70000; mknod disk b 8 1; mkfifo pipe
        chown 1000:100 etc/empty; chown 4000000000:3000000000 usr; chown -h 7:8 etc/dangling
        dd if=/dev/urandom of=random bs=1 count=12289 status=none
        dd if=/dev/urandom of=exact bs=4096 count=3 status=none
        truncate -s 3M zeros; touch -d '1969-12-31 23:00:00.25' zeros; touch -d '2040-01-01 00:00:00.123456789' exact
        touch -h -d '2001-01-01 UTC' etc/dangling"
    );
    let acl = |tag: [u8; 2]| -> Vec<u8> {
        let entry = |tag: u8, perm: u8, id: [u8; 4]| [&[tag, 0, perm, 0][..], &id].concat();
        let none = [0xff; 4];
        let entries = [entry(1, 6, none), entry(2, 4, [tag[0], tag[1], 0, 0]), entry(4, 4, none)];
        [&[2, 0, 0, 0][..], &entries.concat(), &entry(16, 4, none), &entry(32, 4, none)].concat()
    };
    let xattrs = |root: &Path| {
        set_xattr(root.join("etc"), "user.note", b"value");
        set_xattr(root.join("usr/bin/hello"), "user.bin", b"\0\xff\0");
        set_xattr(root.join("etc/empty"), "user.big", &[7; 3000]);
        set_xattr(root.join("usr"), "trusted.t", b"");
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set_xattr(root.join("usr/bin/hello"), "security.capability", &capability);
        set_xattr(root.join("etc/empty"), "system.posix_acl_access", &acl([1, 2]));
        set_xattr(root.join("tmp"), "system.posix_acl_default", &acl([3, 4]));
    };
    image(&home, &layout, &[&script(&kinds), &xattrs]);
    assert_like_umoci(&home, &layout);
}

#[test]
fn upper_layers_change_lower_ones_as_umoci_unpacks_them() {
    let home = Home::new();
    let layout = home.path("layout");
    image(
        &home,
        &layout,
        &[
            &script("mkdir -p a/b/c usr/bin keep; echo 1 > a/b/c/f; echo 2 > a/g; ln -s usr/bin bin; echo 3 > bin/tool
             echo 4 > keep/one; ln keep/one keep/two; echo 5 > dir-to-file; mkdir file-to-dir; echo 6 > swap"),
            &script("rm -r a/b; rm keep/one; echo new > bin/tool2; rm dir-to-file; mkdir dir-to-file
             rmdir file-to-dir; echo 7 > file-to-dir; chmod 700 usr; rm swap; ln -s keep swap"),
            &script("mkdir -p a/b; echo again > a/b/f; rm -r usr/bin/tool; ln keep/two keep/three; rm bin; mkdir bin"),
        ],
    );
    assert_like_umoci(&home, &layout);
}

#[test]
fn a_directory_of_100_000_entries_is_found_name_by_name() {
    let home = Home::new();
    let layout = home.path("layout");
    image(
        &home,
        &layout,
        &[&script("mkdir many; cd many; seq -f 'entry-%.0f' 1 100000 | xargs touch -d @0")],
    );
    home.store.load(&layout, Some(&"test/many".parse().unwrap())).unwrap();
    let built = home.rootfs.ensure(&home.store, &home.store.resolve("test/many").unwrap()).unwrap();
    let mounted = Mounted::new(&built, home.path("mounted"));
    let many = mounted.0.join("many");
    assert_eq!(fs::read_dir(&many).unwrap().count(), 100_000);
    // A lookup is a binary search over all blocks; every name is looked up.
    for i in 1..=100_000 {
        assert!(many.join(format!("entry-{i}")).symlink_metadata().is_ok(), "entry-{i}");
    }
    assert!(!many.join("entry-0").exists());
    assert!(!many.join("zzz").exists());
}

#[test]
fn the_same_layers_give_the_same_bytes_and_one_file() {
    let home = Home::new();
    let layout = home.path("layout");
    image(&home, &layout, &[&script("mkdir a; echo x > a/f"), &script("echo y > g")]);
    home.store.load(&layout, Some(&"test/x:1".parse().unwrap())).unwrap();
    home.store.load(&layout, Some(&"test/x:2".parse().unwrap())).unwrap();
    let [one, two] = ["test/x:1", "test/x:2"].map(|name| home.store.resolve(name).unwrap());
    let path = home.rootfs.ensure(&home.store, &one).unwrap();
    assert_eq!(home.rootfs.ensure(&home.store, &two).unwrap(), path);
    let first = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(home.rootfs.ensure(&home.store, &one).unwrap(), path);
    assert_eq!(fs::read(&path).unwrap(), first);
    // What a power cut left under the name is built anew.
    fs::write(&path, &first[..first.len() / 2]).unwrap();
    home.rootfs.ensure(&home.store, &one).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
}

#[test]
fn a_sparse_file_beyond_4_gib_costs_what_it_holds() {
    const SIZE: u64 = 5 << 30;
    let home = Home::new();
    let layout = home.path("layout");
    let file = File::create(home.path("big")).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"end", SIZE - 3).unwrap();
    for (format, name) in [("gnu", "gnu.tar"), ("pax", "pax.tar")] {
        let tar = home.path(name);
        let format = format!("--format={format}");
        run("tar", &["-S", &format, "-C", arg(home.dir.path()), "-cf", arg(&tar), "big"]);
        let layout = layout.with_extension(name);
        let image = format!("{}:x", arg(&layout));
        run("umoci", &["init", "--layout", arg(&layout)]);
        run("umoci", &["new", "--image", &image]);
        run("umoci", &["raw", "add-layer", "--image", &image, arg(&tar)]);
        home.store.load(&layout, Some(&"test/big".parse().unwrap())).unwrap();
        let built = home.rootfs.ensure(&home.store, &home.store.resolve("test/big").unwrap()).unwrap();
        assert!(built.metadata().unwrap().blocks() * 512 < 1 << 20);
        let mounted = Mounted::new(&built, home.path(&format!("mounted-{name}")));
        let big = File::open(mounted.0.join("big")).unwrap();
        assert_eq!(big.metadata().unwrap().len(), SIZE);
        let mut ends = [0; 11];
        big.read_exact_at(&mut ends[..8], 0).unwrap();
        big.read_exact_at(&mut ends[8..], SIZE - 3).unwrap();
        assert_eq!(&ends, b"start\0\0\0end");
    }
}

#[test]
fn many_builders_of_one_image_share_one_file() {
    let home = Home::new();
    let layout = home.path("layout");
    image(&home, &layout, &[&script("echo x > f")]);
    home.store.load(&layout, Some(&"test/x".parse().unwrap())).unwrap();
    let image = home.store.resolve("test/x").unwrap();
    let paths: HashSet<PathBuf> = std::thread::scope(|scope| {
        let build = || RootfsCache::open(home.path("rootfs")).unwrap().ensure(&home.store, &image).unwrap();
        let builders: Vec<_> = (0..8).map(|_| scope.spawn(build)).collect();
        builders.into_iter().map(|builder| builder.join().unwrap()).collect()
    });
    assert_eq!(paths.len(), 1);
    assert_eq!(home.leftovers().iter().filter(|name| name.starts_with("rootfs/")).count(), 1);
}

/// An index over copies of the image of `layout` for this host and for another one, beside it.
fn for_two_platforms(layout: &Path) {
    let image = |tag: &str| format!("{}:{tag}", arg(layout));
    run("umoci", &["config", "--image", &image("x"), "--tag", "other", "--architecture", "s390x"]);
    let index = layout.join("index.json");
    let mut top: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let named = |tag: &str, architecture: &str| {
        let entries = top["manifests"].as_array().unwrap();
        let name =
            |entry: &&serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
        let mut entry = entries.iter().find(name).unwrap().clone();
        entry.as_object_mut().unwrap().remove("annotations");
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        entry
    };
    let here = Platform::host().architecture;
    let both = crate::load::add_index(layout, &[named("other", "s390x"), named("x", &here)]);
    let mut both = both;
    both["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "both"});
    top["manifests"].as_array_mut().unwrap().push(both);
    fs::write(&index, top.to_string()).unwrap();
}

#[test]
fn images_that_are_pulled_in_any_form_are_as_umoci_unpacks_them() {
    let home = Home::new();
    let layout = home.path("layout");
    let steps = [
        script(
            "mkdir -p etc bin; printf hello > bin/a; chmod 4755 bin/a; ln bin/a bin/b; ln -s a bin/c; chown 7:8 etc",
        ),
        script("rm bin/b; head -c 3000000 /dev/urandom > noise; mkfifo pipe; mknod dev c 1 3"),
        script("mkdir -p opt/deep/er; yes | head -c 9000000 > opt/deep/er/yes; touch -d @1.5 opt/deep"),
    ];
    image(&home, &layout, &[&steps[0], &steps[1], &steps[2]]);
    let bundle = home.path("expected");
    run("umoci", &["unpack", "--image", &format!("{}:x", arg(&layout)), arg(&bundle)]);
    let expected = see(&bundle.join("rootfs"));
    for_two_platforms(&layout);

    let registry = Registry::start(&home);
    let zstd = ["--dest-compress", "--dest-compress-format", "zstd"];
    let forms: [(&str, &str, &[&str]); 5] = [
        ("oci-gzip", "x", &["--format", "oci"]),
        ("oci-zstd", "x", &[&["--format", "oci"][..], &zstd].concat()),
        ("docker-gzip", "x", &["--format", "v2s2"]),
        ("oci-both", "both", &["--all"]),
        ("docker-both", "both", &["--all", "--format", "v2s2"]),
    ];
    for (form, tag, options) in forms {
        let reference = format!("{}/app:{form}", registry.host);
        let options = [&["--dest-tls-verify=false"], options].concat();
        crate::load::skopeo(
            &format!("oci:{}:{tag}", arg(&layout)),
            &format!("docker://{reference}"),
            &options,
        );
        assert_pulled_as(&home, &reference, &expected);
    }
    // And as another tool builds and pushes it, in one layer.
    let storage = [
        "--root",
        arg(&home.path("buildah")),
        "--runroot",
        arg(&home.path("run")),
        "--storage-driver",
        "vfs",
    ]
    .map(str::to_owned);
    let buildah = |args: &[&str]| {
        let all: Vec<&str> = storage.iter().map(String::as_str).chain(args.iter().copied()).collect();
        String::from_utf8(run("buildah", &all).stdout).unwrap().trim().to_owned()
    };
    let container = buildah(&["from", "scratch"]);
    buildah(&["add", "--quiet", &container, arg(&bundle.join("rootfs/bin")), "/bin"]);
    for format in ["docker", "oci"] {
        let reference = format!("{}/built:{format}", registry.host);
        buildah(&["commit", "--quiet", "--format", format, &container, "built"]);
        buildah(&["push", "--quiet", "--tls-verify=false", "built", &format!("docker://{reference}")]);
        let copy = home.path(&format!("built-{format}"));
        let options = ["--src-tls-verify=false"];
        crate::load::skopeo(&format!("docker://{reference}"), &format!("oci:{}:x", arg(&copy)), &options);
        let unpacked = home.path(&format!("unpacked-{format}"));
        run("umoci", &["unpack", "--image", &format!("{}:x", arg(&copy)), arg(&unpacked)]);
        assert_pulled_as(&home, &reference, &see(&unpacked.join("rootfs")));
    }
}

/// What the kernel shows of an image that is pulled into an empty store, while the layers come, is `expected`.
fn assert_pulled_as(home: &Home, reference: &str, expected: &BTreeMap<PathBuf, Seen>) {
    let own = Home::new();
    let image = own.pull(reference, &Keychain::default(), &Registries::default(), &|_| {}).unwrap();
    let mounted = Mounted::new(&own.rootfs.path(&image), home.path("mounted"));
    assert_same(&see(&mounted.0), expected);
    drop(mounted);
    fs::remove_dir(home.path("mounted")).unwrap();
}
