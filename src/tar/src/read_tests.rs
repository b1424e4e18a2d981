//! The reader on archives that are right, odd, and hostile.

use super::*;
use crate::testing::{Archive, header};

fn entries(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = TarReader::new("the test", tar);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|e| TarError::read("the test", e))?;
        entries.push((entry, content));
    }
    Ok(entries)
}

fn only(tar: &[u8]) -> (Entry, Vec<u8>) {
    let mut all = entries(tar).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn refused(tar: &[u8]) -> String {
    entries(tar).unwrap_err().to_string()
}

#[test]
fn plain_entries_are_read() {
    let tar =
        Archive::default().dir("d/").file("d/f", b"hello").link("d/l", b'2', "f").link("d/h", b'1', "d/f");
    let all = entries(&tar.end()).unwrap();
    let kinds: Vec<_> = all.iter().map(|(entry, _)| entry.kind.clone()).collect();
    let file = EntryKind::File { size: 5, sparse: None };
    let links = [EntryKind::Symlink(b"f".to_vec()), EntryKind::HardLink(b"d/f".to_vec())];
    assert_eq!(kinds, [&[EntryKind::Directory, file][..], &links].concat());
    assert_eq!(all[1].1, b"hello");
}

#[test]
fn an_archive_may_lack_its_end_mark() {
    let tar = Archive::default().file("a", b"1").end();
    assert_eq!(entries(&tar[..1024]).unwrap().len(), 1);
    assert_eq!(entries(&tar[..513]).unwrap()[0].1, b"1");
    assert_eq!(entries(b"").unwrap().len(), 0);
    assert!(refused(&tar[..512]).contains("ends"));
    assert!(refused(&tar[..100]).contains("ends"));
}

#[test]
fn pax_headers_override_and_last_one_entry() {
    let long = "p/".repeat(300);
    let tar = Archive::default()
        .pax(&[("path", format!("{long}x").as_bytes()), ("uid", b"4000000000"), ("mtime", b"1.5")])
        .file("short", b"1")
        .file("next", b"2");
    let all = entries(&tar.end()).unwrap();
    assert_eq!(all[0].0.path, format!("{long}x").as_bytes());
    assert_eq!(all[0].0.uid, 4_000_000_000);
    assert_eq!(all[0].0.mtime, Mtime { secs: 1, nanos: 500_000_000 });
    assert_eq!((&all[1].0.path[..], all[1].0.uid), (&b"next"[..], 0));
}

#[test]
fn the_pax_size_counts_and_not_the_header_s() {
    let tar =
        Archive::default().pax(&[("size", b"3")]).raw(&header("f", b'0', 0, &[])).raw(b"abc").raw(&[0; 509]);
    assert_eq!(only(&tar.end()).1, b"abc");
}

#[test]
fn gnu_long_names_and_prefixes_are_read() {
    let long = "n".repeat(200);
    let tar = Archive::default()
        .entry("././@LongLink", b'L', format!("{long}\0").as_bytes(), &[])
        .entry("././@LongLink", b'K', format!("{long}-target\0").as_bytes(), &[])
        .link("cut", b'2', "cut");
    let (entry, _) = only(&tar.end());
    assert_eq!(entry.path, long.as_bytes());
    assert_eq!(entry.kind, EntryKind::Symlink(format!("{long}-target").into_bytes()));
    let (entry, _) = only(&Archive::default().entry("f", b'0', b"", &[(345, b"a/b")]).end());
    assert_eq!(entry.path, b"a/b/f");
}

#[test]
fn sparse_files_of_gnu_and_pax_have_the_same_map() {
    let stored = b"startend.";
    let fields: &[(usize, &[u8])] = &[
        (386, b"00000000000\0"),
        (398, b"00000000005\0"),
        (410, b"00000010000\0"),
        (422, b"00000000004\0"),
        (483, b"00000010004\0"),
    ];
    let gnu = only(&Archive::default().entry("f", b'S', stored, fields).end());
    let mut content = b"2\n0\n5\n4096\n4\n".to_vec();
    content.resize(512, 0);
    content.extend(stored);
    let pax = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4100")];
    let pax = Archive::default().pax(&[&pax[..], &[("GNU.sparse.name", b"f")]].concat());
    let pax = only(&pax.file("GNUSparseFile.0/f", &content).end());
    let old = [("GNU.sparse.map", &b"0,5,4096,4"[..]), ("GNU.sparse.size", b"4100")];
    let old = only(&Archive::default().pax(&old).file("f", stored).end());
    for (entry, content) in [gnu, pax, old] {
        let EntryKind::File { size, sparse: Some(map) } = entry.kind else { panic!("not sparse") };
        assert_eq!((size, map.parts()), (4100, &[(0, 5), (4096, 4)][..]));
        assert_eq!((&entry.path[..], &content[..]), (&b"f"[..], &stored[..]));
    }
}

#[test]
fn hostile_sparse_maps_are_refused() {
    for map in ["0,5,2,4", "5000,5", "0,9,1", "18446744073709551615,9", "0,4", "x"] {
        let pax = [("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", b"4100")];
        refused(&Archive::default().pax(&pax).file("f", b"startend.").end());
    }
    let pax = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4100")];
    for map in ["", "9999999999\n", "2\n0\n5\n", "-1\n", "111111111111111111111111111111"] {
        refused(&Archive::default().pax(&pax).file("f", map.as_bytes()).end());
    }
}

#[test]
fn damage_and_unknown_kinds_are_refused() {
    let mut tar = Archive::default().file("f", b"").end();
    tar[0] = b'g';
    assert!(refused(&tar).contains("checksum"));
    assert!(
        refused(&Archive::default().entry("m", b'M', b"", &[]).end()).contains("type 'M' of entry \"m\"")
    );
    assert!(
        refused(
            &Archive::default()
                .entry("f", b'0', b"", &[(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")])
                .end()
        )
        .contains("size")
    );
    let long = Archive::default().raw(&header("L", b'L', 1 << 40, &[]));
    assert!(refused(&long.end()).contains("over the limit of 8192 bytes"));
    assert!(refused(&Archive::default().pax(&[("path", b"a\0b")]).file("f", b"").end()).contains("NUL"));
    assert!(
        refused(&Archive::default().pax(&[("path", &[b'a'; 5000])]).file("f", b"").end()).contains("4095")
    );
}

/// Random damage gives entries or an error, but never a panic and never more content than there is.
#[test]
fn random_bytes_never_panic() {
    let good = Archive::default()
        .pax(&[("path", b"some/long/name"), ("SCHILY.xattr.user.a", b"b"), ("mtime", b"-5.5")])
        .file("f", &[7; 700])
        .entry("s", b'S', b"x", &[(386, b"00000000000\x0000000000001\0"), (483, b"00000000009\0")])
        .link("l", b'2', "target")
        .end();
    // A linear congruential generator: the same bytes on every run.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let mut tar = good.clone();
        for _ in 0..=random(8) {
            let place = random(tar.len());
            tar[place] = u8::try_from(random(256)).unwrap();
        }
        // With its checksum mended, damage gets past the first check.
        let block = random(tar.len() / 512) * 512;
        let sum: u32 = tar[block..block + 512].iter().map(|b| u32::from(*b)).sum();
        let field: u32 = tar[block + 148..block + 156].iter().map(|b| u32::from(*b)).sum();
        let mended = format!("{:06o}\0 ", sum - field + 256);
        tar[block + 148..block + 156].copy_from_slice(mended.as_bytes());
        tar.truncate(random(tar.len()) + 1);
        if let Ok(all) = entries(&tar) {
            assert!(all.iter().map(|(_, content)| content.len()).sum::<usize>() <= tar.len());
        }
    }
}
