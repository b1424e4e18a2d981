//! A Debian image inside a box is what its tar says, path by path, and writes to it stay in the box.

use crate::harness::{Home, Registry, given};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use tar::EntryType;

/// Walks the box's root and prints a line a path: everything that a file system knows about it, in hexadecimal
/// where it may be any bytes.
const WALK: &str = r#"
import os, stat, hashlib
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
         stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFSOCK: "socket"}
root_device = os.lstat("/").st_dev
def show(path):
    s = os.lstat(path)
    kind = KINDS[stat.S_IFMT(s.st_mode)]
    extra = ""
    if kind == "file":
        with open(path, "rb") as f:
            extra = "%d:%s" % (s.st_size, hashlib.sha256(f.read()).hexdigest())
    elif kind == "link":
        extra = os.fsencode(os.readlink(path)).hex()
    elif kind in ("char", "block"):
        extra = "%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev))
    links = 0 if kind == "dir" else s.st_nlink
    names = sorted(os.listxattr(path, follow_symlinks=False))
    xattrs = ",".join("%s=%s" % (n, os.getxattr(path, n, follow_symlinks=False).hex()) for n in names)
    print(os.fsencode(path).hex(), kind, "%o" % stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, int(s.st_mtime),
          links, "[%s]" % extra, "[%s]" % xattrs)
def walk(folder):
    show(folder)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            if path not in (b"/proc", b"/sys", b"/dev"):
                walk(path)
        else:
            show(path)
walk(b"/")
"#;

/// What the runtime puts into a box over what the image has there, as Docker does.
const OURS: [&str; 7] =
    ["/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/usr/bin/nsexec"];

struct Entry {
    line: String,
    /// The path that it is a further name of.
    target: Option<String>,
}

/// What the tar says of every path, in the walk's words; a later entry of a path replaces an earlier one.
fn tar_says(tar: &Path) -> BTreeMap<String, String> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(tar).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = absolute(&entry.path_bytes());
        let mut xattrs = Vec::new();
        if let Some(extensions) = entry.pax_extensions().unwrap() {
            for extension in extensions {
                let extension = extension.unwrap();
                if let Some(name) = extension.key().unwrap().strip_prefix("SCHILY.xattr.") {
                    xattrs.push(format!("{name}={}", hex(extension.value_bytes())));
                }
            }
        }
        xattrs.sort();
        let header = entry.header().clone();
        let device = || {
            format!("{}:{}", header.device_major().unwrap().unwrap(), header.device_minor().unwrap().unwrap())
        };
        let (kind, extra, target) = match header.entry_type() {
            EntryType::Regular | EntryType::GNUSparse => {
                let (size, hash) = hash_of(&mut entry);
                ("file", format!("{size}:{hash}"), None)
            }
            EntryType::Directory => ("dir", String::new(), None),
            EntryType::Symlink => ("link", hex(&entry.link_name_bytes().unwrap()), None),
            EntryType::Link => ("", String::new(), Some(absolute(&entry.link_name_bytes().unwrap()))),
            EntryType::Fifo => ("fifo", String::new(), None),
            EntryType::Char => ("char", device(), None),
            EntryType::Block => ("block", device(), None),
            other => panic!("{path} is a {other:?}"),
        };
        let (mode, uid, gid) =
            (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap());
        let mtime = header.mtime().unwrap();
        let line = format!("{kind} {mode:o} {uid} {gid} {mtime} LINKS [{extra}] [{}]", xattrs.join(","));
        entries.insert(path, Entry { line, target });
    }
    let names = |path: &str| 1 + entries.values().filter(|e| e.target.as_deref() == Some(path)).count();
    entries
        .iter()
        .map(|(path, entry)| {
            let first = entry.target.as_ref().unwrap_or(path);
            let line = &entries[first].line;
            let links = if line.starts_with("dir ") { 0 } else { names(first) };
            (path.clone(), line.replace("LINKS", &links.to_string()))
        })
        .collect()
}

fn absolute(path: &[u8]) -> String {
    let text = String::from_utf8(path.to_vec()).unwrap();
    let text = text.strip_prefix('.').unwrap_or(&text).trim_end_matches('/');
    if text.starts_with('/') { text.to_owned() } else { format!("/{text}") }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> String {
    let bytes = (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn in_scope(path: &str) -> bool {
    !OURS.iter().any(|ours| path == *ours || path.starts_with(&format!("{ours}/")))
}

/// How many bytes there are to read, and their hash.
pub(crate) fn hash_of(mut from: impl Read) -> (usize, String) {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let n = from.read(&mut buffer).unwrap();
        if n == 0 {
            return (size, hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
        size += n;
    }
}

/// What a box called `name` sees is what a tar says.
#[track_caller]
pub(crate) fn assert_inside(home: &Home, name: &str, expected: &BTreeMap<String, String>) {
    let walked = home.a3s(&["exec", name, "python3", "-c", WALK]).run();
    assert_eq!(walked.code, 0, "{}", walked.stderr);
    let seen: BTreeMap<String, String> = walked
        .text()
        .lines()
        .map(|line| {
            let (path, rest) = line.split_once(' ').unwrap();
            (unhex(path), rest.to_owned())
        })
        .collect();
    let mut wrong = Vec::new();
    for (path, line) in expected.iter().filter(|(path, _)| in_scope(path)) {
        if seen.get(path) != Some(line) {
            wrong.push(format!("{path:?}: the tar says {line}, the box {:?}", seen.get(path)));
        }
    }
    for path in seen.keys().filter(|path| in_scope(path)) {
        if !expected.contains_key(path) {
            wrong.push(format!("{path:?} is in the box, and not in the tar"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} paths differ, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(seen.len() > 7000, "{} paths", seen.len());
}

#[test]
fn a_debian_image_that_was_pulled_is_inside_what_its_tar_says() {
    let home = Home::empty();
    let registry = Registry::start(home.path(), "");
    let options = ["--format", "oci", "--dest-compress-format", "zstd", "--dest-compress"];
    let name = registry.push(&given("A3S_TEST_DEBIAN"), "debian:1", &options);
    home.a3s(&["run", "-d", "--name", "d", "--memory", "1g", &name, "sleep", "100000"]).run().ok();
    assert_inside(&home, "d", &tar_says(&given("A3S_TEST_DEBIAN").with_extension("tar")));
}

#[test]
fn a_debian_image_is_inside_what_its_tar_says_and_stays_so() {
    let home = Home::empty();
    home.load("A3S_TEST_DEBIAN", "debian");
    let expected = tar_says(&given("A3S_TEST_DEBIAN").with_extension("tar"));
    let run = home.a3s(&["run", "-d", "--name", "d", "--memory", "1g", "debian", "sleep", "100000"]);
    run.run().ok();
    let image = home.path().join("rootfs").join(home.inspect("d")["image"]["rootfs"].as_str().unwrap());
    let before = hash_of(File::open(&image).unwrap());

    assert_inside(&home, "d", &expected);

    // What package managers do: new files, replaced and renamed ones, hard links, whole folders gone.
    let package = "set -e; mkdir -p /tmp/p/DEBIAN /tmp/p/usr/share/p /tmp/p/usr/bin; \
        printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: m <m@localhost>\\nDescription: d\\n' > /tmp/p/DEBIAN/control; \
        echo '#!/bin/sh' > /tmp/p/usr/bin/p; echo 'echo works' >> /tmp/p/usr/bin/p; chmod 755 /tmp/p/usr/bin/p; \
        dpkg-deb -b /tmp/p /tmp/p.deb > /dev/null; dpkg -i /tmp/p.deb > /dev/null; p; \
        rm -rf /usr/share/doc; mv /fixture/file /fixture/moved; ln /fixture/moved /fixture/again; \
        echo more >> /fixture/hard-1; cat /fixture/hard-1 | xargs; rm -r /fixture/many; mkdir /fixture/many; ls /fixture/many | wc -l";
    let written = home.a3s(&["exec", "d", "sh", "-c", package]).run();
    assert_eq!(written.ok(), "works\ndata more\n0");

    // Set-uid programs work, unless the box was told otherwise.
    let id = home.a3s(&["exec", "-u", "1234", "d", "/fixture/suid-id", "-u"]).run();
    assert_eq!(id.ok(), "0");
    let options = [
        "run",
        "--rm",
        "--security-opt",
        "no-new-privileges",
        "-u",
        "1234",
        "debian",
        "/fixture/suid-id",
        "-u",
    ];
    assert_eq!(home.a3s(&options).run().ok(), "1234");

    home.a3s(&["stop", "-t", "0", "d"]).run().ok();
    assert_eq!(hash_of(File::open(&image).unwrap()), before, "the rootfs image has changed");
    home.a3s(&["start", "d"]).run().ok();
    let again = home.a3s(&["exec", "d", "sh", "-c", "p; ls -A /fixture/many | wc -l"]).run();
    assert_eq!(again.ok(), "works\n0", "what was written is there after a restart");
}
