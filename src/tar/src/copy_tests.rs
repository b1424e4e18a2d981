//! Copies from one folder to another: the rules of `docker cp`, and archives that want out.

use super::*;
use crate::testing::{Archive, header};
use crate::{Packing, Source, TarWriter, pack};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

fn rules() -> Unpacking {
    Unpacking {
        owners: false,
        set_id: false,
        devices: false,
        xattrs: &["user."],
        resolve: BENEATH,
        bytes: 1 << 30,
        entries: 100_000,
    }
}

fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

fn packed(dir: &Path, path: &str, follow: bool) -> Vec<u8> {
    let base = open(dir);
    let source = Source::find(base.as_fd(), path.as_bytes(), BENEATH, follow).unwrap();
    let mut writer = TarWriter::new(Vec::new());
    pack(&source, &Packing { xattrs: &["user."], ..Packing::default() }, &mut writer).unwrap();
    writer.finish().unwrap()
}

fn copied(from: &Path, path: &str, to: &Path, dest: &str) -> Result<(), String> {
    let tar = packed(from, path, false);
    let base = open(to);
    copy_to(base.as_fd(), dest.as_bytes(), BENEATH, &rules(), &mut TarReader::new("the copy", &tar[..]))
        .map_err(|e| e.to_string())
}

/// A folder `s` with a file, and beside it a file `f`.
fn from() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("s/in")).unwrap();
    fs::write(dir.path().join("s/in/x"), "x").unwrap();
    fs::write(dir.path().join("f"), "new").unwrap();
    dir
}

fn to() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("file"), "old and longer").unwrap();
    dir
}

#[test]
fn a_destination_is_what_docker_says() {
    for (source, dest, made) in [
        ("f", "none", "none"),
        ("f", "file", "file"),
        ("f", "d", "d/f"),
        ("f", "d/", "d/f"),
        ("f", "d/none", "d/none"),
        ("s", "none", "none/in/x"),
        ("s", "none/", "none/in/x"),
        ("s/.", "none", "none/in/x"),
        ("s", "d", "d/s/in/x"),
        ("s/", "d", "d/s/in/x"),
        ("s/.", "d", "d/in/x"),
        ("s/in/..", "d", "d/in/x"),
    ] {
        let (from, to) = (from(), to());
        copied(from.path(), source, to.path(), dest).unwrap();
        let content = fs::read_to_string(to.path().join(made));
        assert_eq!(content.unwrap(), if source == "f" { "new" } else { "x" }, "{source} to {dest}");
    }
    for (source, dest, why) in [
        ("f", "none/", "no such folder"),
        ("f", "no/where", "cannot find no/"),
        ("s", "file", "a folder cannot take the place of a file"),
        ("s/.", "file", "a folder cannot take the place of a file"),
        ("s", "no/where", "cannot find no/"),
    ] {
        let (from, to) = (from(), to());
        let error = copied(from.path(), source, to.path(), dest).unwrap_err();
        assert!(error.contains(why), "{source} to {dest}: {error}");
    }
    let (from, to) = (from(), to());
    fs::create_dir(to.path().join("d/f")).unwrap();
    assert!(copied(from.path(), "f", to.path(), "d").is_err(), "a file over a folder");
    let base = open(from.path());
    assert!(Source::find(base.as_fd(), b"f/", BENEATH, false).is_err(), "a file is no folder");
}

#[test]
fn everything_that_a_folder_holds_survives() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let top = from.path().join("t");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("a"), "same").unwrap();
    fs::set_permissions(top.join("a"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(top.join("a"), top.join("b")).unwrap();
    symlink("/nowhere/at/all", top.join("l")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, top.join("p"), Mode::from_raw_mode(0o600)).unwrap();
    fs::write(top.join("odd\nname\u{e4}"), "").unwrap();
    rustix::fs::setxattr(top.join("a"), "user.k", b"v", rustix::fs::XattrFlags::empty()).unwrap();
    let mut hole = fs::File::create(top.join("hole")).unwrap();
    hole.seek(SeekFrom::Start(100 << 20)).unwrap();
    hole.write_all(b"end").unwrap();
    hole.set_len(200 << 20).unwrap();
    // Deeper than folders are kept open, and longer than one header holds.
    let mut deep = top.clone();
    for n in 0..100 {
        deep.push(format!("{n}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("end"), "deep").unwrap();
    fs::write(top.join("50"), "after").unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o711)).unwrap();

    copied(from.path(), "t", to.path(), "u").unwrap();
    let made = to.path().join("u");
    let [a, b] = ["a", "b"].map(|name| fs::metadata(made.join(name)).unwrap());
    assert_eq!((a.ino(), a.nlink(), a.mode() & 0o7777), (b.ino(), 2, 0o750), "set-id bits are not kept");
    assert_eq!(a.mtime_nsec(), fs::metadata(top.join("a")).unwrap().mtime_nsec());
    assert_eq!(fs::read_link(made.join("l")).unwrap(), Path::new("/nowhere/at/all"));
    assert!(fs::metadata(made.join("p")).unwrap().file_type().is_fifo());
    let hole = fs::metadata(made.join("hole")).unwrap();
    assert_eq!(hole.len(), 200 << 20);
    assert!(hole.blocks() < 1 << 11, "{} blocks", hole.blocks());
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(made.join("a"), "user.k", &mut value[..]).unwrap(), 1);
    let deep = made.join(deep.strip_prefix(&top).unwrap());
    assert_eq!(fs::read_to_string(deep.join("end")).unwrap(), "deep");
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o7777, 0o711);
    let [old, new] = [&top, &made].map(|path| fs::metadata(path).unwrap().mtime());
    assert_eq!(old, new, "a folder's time is set after its content");
}

#[test]
fn a_link_is_copied_or_followed_but_only_at_the_end() {
    let (from, to) = (from(), to());
    symlink("s", from.path().join("link")).unwrap();
    symlink("in", from.path().join("s/inner")).unwrap();
    copied(from.path(), "link", to.path(), "l").unwrap();
    assert_eq!(fs::read_link(to.path().join("l")).unwrap(), Path::new("s"));
    let tar = packed(from.path(), "link", true);
    let base = open(to.path());
    copy_to(base.as_fd(), b"d", BENEATH, &rules(), &mut TarReader::new("x", &tar[..])).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("d/link/in/x")).unwrap(), "x");
    assert_eq!(fs::read_link(to.path().join("d/link/inner")).unwrap(), Path::new("in"));
}

fn extracted(tar: &[u8], into: &Path) -> Result<(), String> {
    let base = open(into);
    extract_to(base.as_fd(), b".", BENEATH, &rules(), &mut TarReader::new("x", tar))
        .map_err(|e| e.to_string())
}

fn hostile(tar: Vec<u8>) {
    for extract in [true, false] {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("folder");
        fs::create_dir(&folder).unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        symlink(outside.path(), folder.join("out")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        symlink("../secret", folder.join("file")).unwrap();
        let base = open(&folder);
        let mut reader = TarReader::new("x", &tar[..]);
        let _ = if extract {
            extract_to(base.as_fd(), b".", BENEATH, &rules(), &mut reader)
        } else {
            copy_to(base.as_fd(), b".", BENEATH, &rules(), &mut reader)
        };
        let names: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        let secret = fs::metadata(outside.path().join("secret")).unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
        assert_eq!((secret.nlink(), secret.mode() & 0o7777 & !0o077), (1, 0o600));
    }
}

#[test]
fn nothing_leaves_the_folder() {
    let a = Archive::default;
    for tar in [
        a().file("../evil", b"x"),
        a().file("/../evil", b"x"),
        a().file("d/../../evil", b"x"),
        a().file("out/evil", b"x"),
        a().file("up/evil", b"x"),
        a().file("file", b"changed"),
        a().link("l", b'2', "..").file("l/evil", b"x"),
        a().link("l", b'2', "/tmp").file("l/evil", b"x"),
        a().dir("d/").link("d/l", b'2', "../..").file("d/l/evil", b"x"),
        a().link("h", b'1', "../secret").entry("h", b'0', b"changed", &[(100, b"0000777\0")]),
        a().link("h", b'1', "up/secret").entry("h", b'0', b"changed", &[(100, b"0000777\0")]),
        a().link("h", b'1', "file").entry("h", b'0', b"changed", &[(100, b"0000777\0")]),
        a().entry("file", b'5', b"", &[(100, b"0000777\0")]),
        a().entry("up", b'5', b"", &[(100, b"0000777\0")]),
        a().dir(".").file("./up/evil", b"x"),
        a().dir(".").link("./l", b'2', "..").dir("./l").file("./l/evil", b"x"),
    ] {
        hostile(tar.end());
    }
}

#[test]
fn what_is_not_made_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let device = Archive::default().entry("null", b'3', b"", &[(329, b"0000001\0"), (337, b"0000003\0")]);
    assert_eq!(
        extracted(&device.end(), dir.path()).unwrap_err(),
        "cannot copy null: devices are not made here"
    );
    let stray = Archive::default().dir("a").file("b", b"").end();
    let base = open(dir.path());
    let error = copy_to(base.as_fd(), b".", BENEATH, &rules(), &mut TarReader::new("x", &stray[..]));
    assert_eq!(error.unwrap_err().to_string(), "cannot copy b: it does not belong to what is copied");
    let path = Archive::default().file("a/b", b"").end();
    let error = copy_to(base.as_fd(), b".", BENEATH, &rules(), &mut TarReader::new("x", &path[..]));
    assert_eq!(error.unwrap_err().to_string(), "cannot copy a/b: its name is a path");
    let huge = header("f", b'0', 2 << 30, &[]);
    assert_eq!(extracted(&huge, dir.path()).unwrap_err(), "cannot copy f: there is too much data");
    let cut = Archive::default().file("f", b"0123456789").end();
    assert_eq!(extracted(&cut[..516], dir.path()).unwrap_err(), "the archive is damaged: it ends too early");
}

#[test]
fn any_archive_can_be_extracted() {
    let dir = tempfile::tempdir().unwrap();
    let tar = Archive::default().file("/a/b/c", b"1").link("./a/h", b'1', "/a/b/c").file("a/b/c", b"2").end();
    extracted(&tar, dir.path()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("a/b/c")).unwrap(), "2");
    assert_eq!(
        fs::read_to_string(dir.path().join("a/h")).unwrap(),
        "1",
        "a file is made anew, not written into"
    );
}
