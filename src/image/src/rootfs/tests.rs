//! Layers that are odd or hostile, and random layers against a naive model.

use super::erofs::Output;
use super::tree::{InodeId, Kind, Tree};
use super::*;
use crate::manifest::Descriptor;
use a3s_box_tar::testing::Archive;
use std::collections::BTreeMap;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// Every path of a tree, with a word for what is there.
type Paths = BTreeMap<String, String>;

fn paths(tree: &Tree) -> Paths {
    let mut paths = Paths::new();
    let mut todo = vec![(String::new(), InodeId::ROOT)];
    while let Some((at, dir)) = todo.pop() {
        let Kind::Directory(directory) = &tree.inode(dir).kind else { continue };
        for (name, link) in &directory.entries {
            let path = format!("{at}{}", String::from_utf8_lossy(name));
            let inode = tree.inode(link.inode);
            let word = match &inode.kind {
                Kind::Directory(_) => {
                    todo.push((format!("{path}/"), link.inode));
                    "dir".to_owned()
                }
                Kind::File { size, .. } => format!("file {size}"),
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                other => format!("{other:?}"),
            };
            paths.insert(path, word);
        }
    }
    paths
}

fn applied(layers: &[Vec<u8>], limits: Limits) -> Result<Paths> {
    let file = tempfile::tempfile().unwrap();
    let path = Path::new("the image");
    let mut applier = Applier::new(Output::new(&file, path), limits);
    layers.iter().try_for_each(|layer| applier.layer("layer x", &layer[..]))?;
    Ok(paths(&applier.finish().0))
}

fn tree(layers: &[Archive]) -> Vec<(String, String)> {
    let layers: Vec<_> = layers.iter().map(|layer| layer.clone().end()).collect();
    applied(&layers, Limits::default()).unwrap().into_iter().collect()
}

fn refused(layer: Archive) -> String {
    applied(&[layer.end()], Limits::default()).map(|paths| paths.len()).unwrap_err().to_string()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, what)| ((*path).to_owned(), (*what).to_owned())).collect()
}

#[test]
fn paths_stay_inside_the_root() {
    let layer = Archive::default()
        .file("/abs/f", b"1")
        .link("up", b'2', "../../../etc")
        .file("up/passwd", b"22")
        .link("out", b'2', "/../abs")
        .file("out/g", b"333");
    let expected = [
        ("abs", "dir"),
        ("abs/f", "file 1"),
        ("abs/g", "file 3"),
        ("etc", "dir"),
        ("etc/passwd", "file 2"),
        ("out", "-> /../abs"),
        ("up", "-> ../../../etc"),
    ];
    assert_eq!(tree(&[layer]), pairs(&expected));
}

#[test]
fn hostile_paths_and_links_are_refused_by_name() {
    let new = Archive::default;
    assert!(
        refused(new().file("a/../../etc/passwd", b""))
            .contains("\"a/../../etc/passwd\": its path holds '..'")
    );
    assert!(refused(new().link("h", b'1', "../../etc/shadow")).contains("'..'"));
    assert!(refused(new().link("h", b'1', "missing")).contains("not there"));
    assert!(refused(new().dir("d").link("h", b'1', "d")).contains("links to a directory"));
    assert!(
        refused(new().link("a", b'2', "b").link("b", b'2', "a").file("a/f", b"")).contains("symbolic links")
    );
    assert!(refused(new().file("f", b"").file("f/g", b"")).contains("not a directory"));
    assert!(refused(new().file("d/.wh...", b"")).contains("hide a name"));
    assert!(refused(new().file("d/.wh.", b"")).contains("hide a name"));
    assert!(refused(new().link("l", b'2', "")).contains("needs a target"));
    assert!(refused(new().file(".", b"x")).contains("root must be a directory"));
    assert!(refused(new().entry("d", b'3', b"", &[(329, b"0010000\0")])).contains("device number"));
    assert!(refused(new().pax(&[("path", &[b'n'; 256])]).file("f", b"")).contains("255"));
}

#[test]
fn trees_cannot_be_made_deeper_than_a_path_reaches() {
    let deep = "d/".repeat(1000);
    let mut layer = Archive::default();
    for round in 0..3 {
        let folder = if round == 0 { deep.clone() } else { format!("l{}/{deep}", round - 1) };
        layer = layer.pax(&[("path", folder.as_bytes())]).dir("x");
        layer = layer.pax(&[("linkpath", folder.as_bytes())]).link(&format!("l{round}"), b'2', "x");
    }
    assert!(refused(layer).contains("too deep"));
}

#[test]
fn whiteouts_hide_lower_layers_whatever_their_order() {
    let lower =
        Archive::default().dir("d").file("d/old", b"1").dir("d/sub").file("d/sub/x", b"1").file("f", b"1");
    let first = Archive::default().file(".wh.d", b"").file("d/new", b"22").file(".wh.f", b"");
    let last = Archive::default().file(".wh.f", b"").file("d/new", b"22").file(".wh.d", b"");
    let expected = pairs(&[("d", "dir"), ("d/new", "file 2")]);
    assert_eq!(tree(&[lower.clone(), first]), expected);
    assert_eq!(tree(&[lower.clone(), last]), expected);
    let opaque = Archive::default().file("d/new", b"22").file("d/.wh..wh..opq", b"").file("gone/.wh.x", b"");
    let expected = pairs(&[("d", "dir"), ("d/new", "file 2"), ("f", "file 1")]);
    assert_eq!(tree(&[lower, opaque]), expected);
    // A whiteout says nothing of its own layer, and nothing hides in the bottom one.
    let own = Archive::default().file("a", b"1").file(".wh.a", b"").file("b/.wh..wh..opq", b"");
    assert_eq!(tree(&[own]), pairs(&[("a", "file 1")]));
}

#[test]
fn declared_limits_hold() {
    let over = |layer: Archive, limits: Limits| applied(&[layer.end()], limits).unwrap_err().to_string();
    let limits = Limits { size: 1 << 20, entries: 3, metadata: 100 };
    let many = Archive::default().dir("a").dir("b").dir("c").dir("d");
    assert_eq!(over(many, limits), "layer x is over the limit of 3 entries");
    let names = Archive::default().link("a", b'2', &"t".repeat(99)).dir("b");
    assert_eq!(over(names, limits), "the metadata of layer x is over the limit of 100B");
    // The size that a header claims is enough; nothing is read or written for it.
    let pax = [("GNU.sparse.map", &b"0,1"[..]), ("GNU.sparse.size", b"1099511627776")];
    let claim = Archive::default().pax(&pax).file("big", b"x");
    assert_eq!(over(claim, limits), "the unpacked layer x is over the limit of 1MiB");
}

#[test]
fn a_bomb_a_lie_and_a_cut_are_found_while_streaming() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = |tar: &[u8], diff_id: Digest, media_type: &str, size: Option<u64>| {
        let blob = dir.path().join("blob");
        fs::write(&blob, tar).unwrap();
        let size = size.unwrap_or(tar.len() as u64);
        let layer = Layer { blob, descriptor: Descriptor::new(media_type, Digest::of(tar), size), diff_id };
        let limits = Limits { size: 1 << 20, ..Limits::default() };
        build(&[layer], &tempfile::tempfile().unwrap(), Path::new("the image"), limits)
    };
    let good = Archive::default().file("f", b"1").end();
    attempt(&good, Digest::of(&good), TAR, None).unwrap();
    let lie = attempt(&good, Digest::of(b""), TAR, None).unwrap_err().to_string();
    assert!(lie.contains("it unpacks to sha256:"), "{lie}");
    let cut = attempt(&good, Digest::of(&good), TAR, Some(9999)).unwrap_err().to_string();
    assert!(cut.contains("its blob has 2048 bytes in place of 9999"), "{cut}");
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    let bomb = attempt(&bomb, Digest::of(b""), zstd, None).unwrap_err().to_string();
    assert!(bomb.contains("over the limit of 1MiB"), "{bomb}");
    for media_type in [zstd, "application/vnd.oci.image.layer.v1.tar+gzip"] {
        let garbage = attempt(&good, Digest::of(&good), media_type, None).unwrap_err();
        assert!(matches!(garbage, ImageError::Corrupt { .. }), "{garbage}");
    }
    let half = zstd::bulk::compress(&good, 1).unwrap();
    let half = attempt(&half[..half.len() / 2], Digest::of(&good), zstd, None).unwrap_err();
    assert!(matches!(half, ImageError::Corrupt { .. }), "{half}");
}

/// Random layers of files, directories and whiteouts over four names, against a map from path to content that
/// the same changes are made to one by one.
#[test]
fn random_layers_match_a_naive_model() {
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..2000 {
        let mut model = Paths::new();
        let mut layers = Vec::new();
        for _ in 0..=random(3) {
            let lower = model.clone();
            let mut layer = Archive::default();
            let mut hidden = Vec::new();
            let mut added = Paths::new();
            for _ in 0..random(8) {
                let depth = 1 + random(3);
                let names: Vec<_> =
                    (0..depth).map(|_| ["a", "b", "c", "d"][usize::try_from(random(4)).unwrap()]).collect();
                let path = names.join("/");
                match random(4) {
                    0 => {
                        let (parent, name) = path.rsplit_once('/').map_or(("", &*path), |(p, n)| (p, n));
                        layer = layer.file(&format!("{parent}/.wh.{name}"), b"");
                        hidden.push(path);
                    }
                    1 => {
                        layer = layer.file(&format!("{path}/.wh..wh..opq"), b"");
                        hidden.push(format!("{path}/"));
                    }
                    // Files end in a letter of their own, so that no path runs through one.
                    2 => {
                        let content = vec![b'x'; usize::try_from(random(9)).unwrap()];
                        layer = layer.file(&format!("{path}.f"), &content);
                        added.insert(format!("{path}.f"), format!("file {}", content.len()));
                    }
                    _ => {
                        layer = layer.dir(&path);
                        added.insert(path, "dir".into());
                    }
                }
            }
            let is_hidden = |path: &str| {
                hidden.iter().any(|hidden| match hidden.strip_suffix('/') {
                    Some(_) => path.starts_with(&**hidden),
                    None => path == hidden || path.starts_with(&format!("{hidden}/")),
                })
            };
            model = lower.into_iter().filter(|(path, _)| !is_hidden(path)).collect();
            model.extend(added.clone());
            for path in added.keys() {
                for (slash, _) in path.match_indices('/') {
                    model.insert(path[..slash].to_owned(), "dir".into());
                }
            }
            layers.push(layer.end());
        }
        assert_eq!(applied(&layers, Limits::default()).unwrap(), model, "round {round}");
    }
}

#[test]
fn a_blob_that_is_known_is_held_against_its_own_digest() {
    // Beside the sources: not every temporary folder has extended attributes.
    let dir = tempfile::tempdir_in(".").unwrap();
    let blob = dir.path().join("blob");
    let tar = Archive::default().file("f", &[7; 1 << 20]).end();
    // Bytes behind the compressed data are part of the blob.
    let mut bytes = zstd::encode_all(&tar[..], 1).unwrap();
    bytes.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    fs::write(&blob, &bytes).unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
    let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
    let layer = Layer { blob: blob.clone(), descriptor, diff_id: Digest::of(&tar) };
    // More layers than there are chunks of memory.
    let layers = vec![layer; 20];
    let build = || {
        let file = tempfile::NamedTempFile::new().unwrap();
        build(&layers, file.as_file(), Path::new("the image"), Limits::default())?;
        Ok::<_, crate::ImageError>(fs::read(file.path()).unwrap())
    };
    let unknown = build().unwrap();
    layers[0].note_known();
    assert!(build().unwrap() == unknown);
    // It would unpack to the same.
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, &bytes).unwrap();
    let told = build().unwrap_err().to_string();
    assert!(told.contains("its blob's digest is sha256:"), "{told}");
}
