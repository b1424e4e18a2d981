use crate::share::Identity;
use crate::testing::{Guest, OWNER, longs, message, number32, number64, words};
use crate::wire::{MAX_MESSAGE, ROOT, fattr, opcode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    // What is served, and what lies beside it.
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    (dir, shared)
}

#[test]
fn files_are_found_read_and_written() {
    let (_dir, shared) = folder();
    fs::write(shared.join("file"), "0123456789").unwrap();
    let guest = Guest::of(&shared);
    let file = guest.lookup(ROOT, "file").unwrap();
    assert_eq!((file.size, file.mode & 0o170_000, file.ids), (10, 0o100_000, (OWNER.uid, OWNER.gid)));
    let handle = guest.open(file.node, OFlags::RDWR).unwrap();
    assert_eq!(guest.read(handle, 2, 4).unwrap(), b"2345");
    assert_eq!(guest.read(handle, 8, 100).unwrap(), b"89");
    assert_eq!(guest.write(handle, 8, OFlags::RDWR, b"abcd").unwrap(), 4);
    assert_eq!(fs::read(shared.join("file")).unwrap(), b"01234567abcd");
    // What appends does so wherever the guest believes the end to be.
    fs::write(shared.join("file"), "longer than the guest knows").unwrap();
    guest.write(handle, 12, OFlags::WRONLY | OFlags::APPEND, b"!").unwrap();
    assert_eq!(fs::read(shared.join("file")).unwrap(), b"longer than the guest knows!");
    // What was unlinked stays open.
    fs::remove_file(shared.join("file")).unwrap();
    assert_eq!(guest.read(handle, 0, 6).unwrap(), b"longer");
    guest
        .call(opcode::RELEASE, file.node, &[longs(&[handle]), words(&[0, 0]), longs(&[0])].concat())
        .unwrap();
    assert_eq!(guest.read(handle, 0, 6), Err(Errno::BADF));
    let (new, handle) = guest.create(ROOT, "new", OFlags::WRONLY, 0o4755).unwrap();
    guest.write(handle, 0, OFlags::WRONLY, b"#!").unwrap();
    assert_eq!(new.mode, 0o100_755);
    assert_eq!(guest.create(ROOT, "new", OFlags::WRONLY | OFlags::EXCL, 0o644), Err(Errno::EXIST));
    assert_eq!(guest.create(ROOT, "new", OFlags::WRONLY, 0o600).unwrap().0.node, new.node);
    let (_, mode, _) = guest.stat(new.node).unwrap();
    assert_eq!(mode, 0o100_755);
}

#[test]
fn names_are_made_moved_and_removed() {
    let (_dir, shared) = folder();
    let guest = Guest::of(&shared);
    let made = guest.named(opcode::MKDIR, ROOT, &words(&[0o2755, 0]), "d").unwrap();
    let d = number64(&made, 0);
    assert_eq!(fs::metadata(shared.join("d")).unwrap().mode() & 0o7777, 0o755);
    guest.named(opcode::MKNOD, d, &words(&[0o100_644, 0, 0, 0]), "f").unwrap();
    let f = guest.lookup(d, "f").unwrap();
    guest.call(opcode::LINK, d, &[longs(&[f.node]), b"g\0".to_vec()].concat()).unwrap();
    assert_eq!(guest.lookup(d, "g").unwrap().node, f.node);
    guest.call(opcode::SYMLINK, d, b"l\0../../secret\0").unwrap();
    let link = guest.lookup(d, "l").unwrap();
    assert_eq!(guest.call(opcode::READLINK, link.node, &[]).unwrap(), b"../../secret");
    assert_eq!(guest.list(d, false).unwrap(), ["f", "g", "l"]);
    assert_eq!(guest.list(d, true).unwrap(), ["f", "g", "l"]);
    assert_eq!(guest.rename((d, "f"), (ROOT, "g"), 0), Ok(()));
    fs::write(shared.join("other"), "other").unwrap();
    assert_eq!(guest.rename((ROOT, "g"), (ROOT, "other"), 1), Err(Errno::EXIST));
    assert_eq!(guest.rename((ROOT, "g"), (ROOT, "other"), 2), Ok(()));
    assert_eq!(fs::read(shared.join("g")).unwrap(), b"other");
    // A whiteout would be a device.
    assert_eq!(guest.rename((ROOT, "g"), (ROOT, "x"), 4), Err(Errno::INVAL));
    assert_eq!(guest.named(opcode::RMDIR, ROOT, &[], "d").unwrap_err(), Errno::NOTEMPTY);
    for name in ["g", "l"] {
        guest.named(opcode::UNLINK, d, &[], name).unwrap();
    }
    guest.named(opcode::RMDIR, ROOT, &[], "d").unwrap();
    assert_eq!(guest.lookup(ROOT, "d"), Err(Errno::NOENT));
}

#[test]
fn whoever_is_the_guest_the_host_keeps_its_owners() {
    let (_dir, shared) = folder();
    fs::write(shared.join("f"), "x").unwrap();
    let guest = Guest::of(&shared);
    let f = guest.lookup(ROOT, "f").unwrap().node;
    let (uid, gid) = (OWNER.uid, OWNER.gid);
    assert_eq!(guest.change(f, fattr::UID | fattr::GID, 0, (uid, gid), 0), Ok(()));
    assert_eq!(guest.change(f, fattr::UID, 0, (0, 0), 0), Err(Errno::PERM));
    assert_eq!(guest.change(f, fattr::GID, 0, (uid, 0), 0), Err(Errno::PERM));
    guest.change(f, fattr::MODE, 0o6711, (0, 0), 0).unwrap();
    guest.change(f, fattr::SIZE, 0, (0, 0), 1000).unwrap();
    guest.change(f, fattr::MTIME, 0, (0, 0), 0).unwrap();
    let data = fs::metadata(shared.join("f")).unwrap();
    assert_eq!((data.mode() & 0o7777, data.len(), data.mtime(), data.mtime_nsec()), (0o711, 1000, 6, 8));
    let set = |name: &[u8]| guest.call(opcode::SETXATTR, f, &[&words(&[1, 0]), name, b"\0v"].concat());
    assert_eq!(set(b"security.capability"), Err(Errno::OPNOTSUPP));
    assert_eq!(set(b"trusted.overlay.opaque"), Err(Errno::OPNOTSUPP));
    assert_eq!(set(b"user."), Err(Errno::OPNOTSUPP));
    if set(b"user.a").is_ok() {
        assert_eq!(
            guest.call(opcode::GETXATTR, f, &[&words(&[9, 0]), &b"user.a\0"[..]].concat()).unwrap(),
            b"v"
        );
        assert_eq!(guest.call(opcode::LISTXATTR, f, &words(&[99, 0])).unwrap(), b"user.a\0");
        assert_eq!(guest.call(opcode::LISTXATTR, f, &words(&[3, 0])), Err(Errno::RANGE));
        guest.named(opcode::REMOVEXATTR, f, &[], "user.a").unwrap();
    }
    // Devices, pipes and sockets of a guest do not come to the host.
    for mode in [0o020_666, 0o060_666, 0o010_666, 0o140_666] {
        let made = guest.named(opcode::MKNOD, ROOT, &words(&[mode, 0x0103, 0, 0]), "n");
        assert_eq!(made, Err(Errno::PERM));
    }
}

#[test]
fn nothing_leads_out_of_the_folder() {
    let (dir, shared) = folder();
    fs::create_dir(shared.join("d")).unwrap();
    symlink(dir.path(), shared.join("out")).unwrap();
    symlink("/proc/self/root", shared.join("magic")).unwrap();
    let guest = Guest::of(&shared);
    for name in ["..", ".", "", "a/b", "/", "../secret"] {
        assert_eq!(guest.lookup(ROOT, name), Err(Errno::INVAL), "{name:?}");
        assert!(guest.create(ROOT, name, OFlags::WRONLY, 0o644).is_err(), "{name:?}");
        assert!(guest.rename((ROOT, "d"), (ROOT, name), 0).is_err(), "{name:?}");
    }
    assert_eq!(guest.lookup(ROOT, &"n".repeat(256)), Err(Errno::NAMETOOLONG));
    // Links are links: nothing is found in them, and they are not opened.
    for name in ["out", "magic"] {
        let link = guest.lookup(ROOT, name).unwrap();
        assert_eq!(link.mode & 0o170_000, 0o120_000);
        assert_eq!(guest.lookup(link.node, "secret"), Err(Errno::NOTDIR));
        assert_eq!(guest.open(link.node, OFlags::RDONLY), Err(Errno::LOOP));
        assert_eq!(guest.create(ROOT, name, OFlags::WRONLY | OFlags::TRUNC, 0o644), Err(Errno::LOOP));
        assert_eq!(guest.call(opcode::OPENDIR, link.node, &words(&[0, 0])), Err(Errno::NOTDIR));
        assert_eq!(guest.change(link.node, fattr::MODE, 0o777, (0, 0), 0), Err(Errno::OPNOTSUPP));
        assert!(guest.change(link.node, fattr::SIZE, 0, (0, 0), 0).is_err());
    }
    // A folder that becomes a link, before the guest's eyes, is the folder that it was.
    let d = guest.lookup(ROOT, "d").unwrap().node;
    fs::rename(shared.join("d"), shared.join("e")).unwrap();
    symlink(dir.path(), shared.join("d")).unwrap();
    assert_eq!(guest.lookup(d, "secret"), Err(Errno::NOENT));
    assert_eq!(guest.list(d, true).unwrap(), [""; 0]);
    guest.create(d, "inside", OFlags::WRONLY, 0o644).unwrap();
    assert!(shared.join("e/inside").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn a_folder_that_is_emptied_while_it_is_read_is_read_whole() {
    for plus in [false, true] {
        let (_dir, path) = folder();
        let guest = Guest::of(&path);
        let mut names: Vec<String> = (0..300).map(|number| format!("file-{number}")).collect();
        for name in &names {
            fs::write(path.join(name), "").unwrap();
        }
        let told = guest.list_and(ROOT, plus, |name| drop(fs::remove_file(path.join(name)))).unwrap();
        names.sort();
        assert_eq!(told, names);
        assert_eq!(guest.list(ROOT, plus).unwrap(), [""; 0]);
    }
}

#[test]
fn only_folders_and_regular_files_are_opened() {
    let (_dir, shared) = folder();
    let pipe = shared.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o666), 0)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(shared.join("socket")).unwrap();
    let guest = Guest::of(&shared);
    for name in ["pipe", "socket"] {
        let node = guest.lookup(ROOT, name).unwrap().node;
        for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR] {
            assert_eq!(guest.open(node, flags), Err(Errno::ACCESS));
            assert_eq!(guest.create(ROOT, name, flags, 0o644), Err(Errno::ACCESS));
        }
        assert_eq!(guest.change(node, fattr::SIZE, 0, (0, 0), 0), Err(Errno::ACCESS));
    }
    assert_eq!(guest.open(ROOT, OFlags::RDONLY), Err(Errno::ISDIR));
}

#[test]
fn what_can_only_be_read_cannot_be_changed() {
    let (_dir, shared) = folder();
    fs::write(shared.join("f"), "data").unwrap();
    let guest = Guest::with(&shared, true, None, 4096);
    let f = guest.lookup(ROOT, "f").unwrap().node;
    let handle = guest.open(f, OFlags::RDONLY).unwrap();
    assert_eq!(guest.read(handle, 0, 9).unwrap(), b"data");
    for flags in [OFlags::WRONLY, OFlags::RDWR, OFlags::TRUNC] {
        assert_eq!(guest.open(f, flags), Err(Errno::ROFS));
    }
    assert_eq!(guest.write(handle, 0, OFlags::empty(), b"x"), Err(Errno::ROFS));
    assert_eq!(guest.create(ROOT, "n", OFlags::RDONLY, 0o644), Err(Errno::ROFS));
    assert_eq!(guest.rename((ROOT, "f"), (ROOT, "g"), 0), Err(Errno::ROFS));
    assert_eq!(guest.change(f, fattr::MODE, 0o777, (0, 0), 0), Err(Errno::ROFS));
    for (opcode, body) in [
        (opcode::MKDIR, words(&[0o755, 0])),
        (opcode::MKNOD, words(&[0o100_644, 0, 0, 0])),
        (opcode::UNLINK, vec![]),
        (opcode::RMDIR, vec![]),
        (opcode::LINK, longs(&[f])),
        (opcode::SYMLINK, b"to\0".to_vec()),
        (opcode::SETXATTR, words(&[0, 0])),
        (opcode::REMOVEXATTR, vec![]),
    ] {
        assert_eq!(guest.named(opcode, ROOT, &body, "f"), Err(Errno::ROFS), "{opcode}");
    }
    let body = [longs(&[handle, 0, 1]), words(&[0, 0])].concat();
    assert_eq!(guest.call(opcode::FALLOCATE, f, &body), Err(Errno::ROFS));
    assert_eq!(fs::read(shared.join("f")).unwrap(), b"data");
}

#[test]
fn what_is_hidden_stays_out_of_reach() {
    let (_dir, shared) = folder();
    fs::create_dir(shared.join("state")).unwrap();
    let data = fs::metadata(shared.join("state")).unwrap();
    let device = (rustix::fs::major(data.dev()), rustix::fs::minor(data.dev()));
    let guest = Guest::with(&shared, false, Some(Identity { device, inode: data.ino() }), 4096);
    assert_eq!(guest.lookup(ROOT, "state"), Err(Errno::ACCESS));
    assert_eq!(guest.rename((ROOT, "state"), (ROOT, "mine"), 0), Err(Errno::ACCESS));
    fs::create_dir(shared.join("mine")).unwrap();
    assert_eq!(guest.rename((ROOT, "mine"), (ROOT, "state"), 2), Err(Errno::ACCESS));
    // Its name is no secret.
    assert_eq!(guest.list(ROOT, true).unwrap(), ["mine", "state"]);
}

#[test]
fn inodes_outlast_their_descriptors() {
    let (_dir, shared) = folder();
    let guest = Guest::with(&shared, false, None, 64);
    for n in 0..100 {
        fs::create_dir(shared.join(format!("d{n}"))).unwrap();
        fs::write(shared.join(format!("d{n}/f")), format!("{n}")).unwrap();
    }
    let nodes: Vec<u64> = (0..100).map(|n| guest.walk(&format!("d{n}/f")).unwrap().node).collect();
    let (known, open) = guest.share.nodes.counts();
    assert!(known == 201 && open <= 33, "{known} {open}");
    // What was moved by the guest or by the host is found again, or is said to be gone; never another in its place.
    guest.rename((ROOT, "d1"), (ROOT, "moved"), 0).unwrap();
    fs::rename(shared.join("d2"), shared.join("away")).unwrap();
    fs::remove_file(shared.join("d3/f")).unwrap();
    fs::write(shared.join("d3/f"), "another").unwrap();
    fs::remove_dir_all(shared.join("d4")).unwrap();
    symlink(shared.join("d5"), shared.join("d4")).unwrap();
    for (n, node) in nodes.iter().enumerate() {
        let text = guest.open(*node, OFlags::RDONLY).and_then(|handle| {
            let text = guest.read(handle, 0, 99);
            guest
                .call(opcode::RELEASE, *node, &[longs(&[handle]), words(&[0, 0]), longs(&[0])].concat())
                .unwrap();
            text
        });
        match n {
            2..=4 => assert_eq!(text, Err(Errno::STALE), "{n}"),
            _ => assert_eq!(text.unwrap(), format!("{n}").as_bytes()),
        }
    }
    // What loses its name while the guest has it stays.
    let folder = guest.lookup(ROOT, "d50").unwrap().node;
    guest.named(opcode::UNLINK, folder, &[], "f").unwrap();
    for node in &nodes[60..] {
        guest.stat(*node).unwrap();
    }
    assert_eq!(guest.stat(nodes[50]).unwrap().0, 2);
    // What is forgotten is gone.
    nodes.iter().for_each(|node| guest.forget(*node, 1));
    assert_eq!(guest.stat(nodes[50]), Err(Errno::NOENT));
    guest.forget(ROOT, u64::MAX);
    guest.stat(ROOT).unwrap();
}

#[test]
fn a_single_file_is_served_as_the_root() {
    let (dir, _shared) = folder();
    let guest = Guest::of(&dir.path().join("secret"));
    assert_eq!(guest.stat(ROOT).unwrap().1 & 0o170_000, 0o100_000);
    let handle = guest.open(ROOT, OFlags::RDONLY).unwrap();
    assert_eq!(guest.read(handle, 0, 99).unwrap(), b"secret");
    assert_eq!(guest.lookup(ROOT, "x"), Err(Errno::NOTDIR));
    assert_eq!(guest.call(opcode::OPENDIR, ROOT, &words(&[0, 0])), Err(Errno::NOTDIR));
}

#[test]
fn what_no_kernel_would_say_is_survived() {
    let (_dir, shared) = folder();
    fs::write(shared.join("f"), "data").unwrap();
    let guest = Guest::of(&shared);
    let f = guest.lookup(ROOT, "f").unwrap().node;
    // Such as is no message at all ends the conversation.
    let good = message(opcode::GETATTR, f, &longs(&[0, 0]));
    for bad in [&[][..], &good[..39], &good[..good.len() - 1], &[&good[..], b"x"].concat(), &[0; 40]] {
        assert_eq!(guest.send(bad), Err(Errno::PROTO));
    }
    let long = [words(&[u32::try_from(MAX_MESSAGE + 1).unwrap(), 3]), vec![0; MAX_MESSAGE - 7]].concat();
    assert_eq!(guest.send(&long), Err(Errno::PROTO));
    // Too short, too long, unknown.
    assert_eq!(guest.call(opcode::GETATTR, f, &longs(&[0])), Err(Errno::INVAL));
    assert_eq!(guest.call(opcode::GETATTR, f, &longs(&[0, 0, 0])), Err(Errno::INVAL));
    assert_eq!(guest.call(opcode::LOOKUP, ROOT, b"no end"), Err(Errno::INVAL));
    assert_eq!(guest.call(opcode::LOOKUP, ROOT, b"f\0g\0"), Err(Errno::INVAL));
    for opcode in [0, 7, 19, 25, 31, 34, 37, 39, 40, 41, 47, 48, 50, 51, 52, 4096, u32::MAX] {
        assert_eq!(guest.call(opcode, ROOT, &[]), Err(Errno::NOSYS), "{opcode}");
    }
    // Numbers that were never given.
    for node in [0, f + 1, u64::MAX] {
        assert_eq!(guest.stat(node), Err(Errno::NOENT));
        assert!(guest.open(node, OFlags::RDONLY).is_err());
        guest.forget(node, 1);
    }
    assert_eq!(guest.read(99, 0, 1), Err(Errno::BADF));
    let handle = guest.open(f, OFlags::RDWR).unwrap();
    assert_eq!(guest.read(handle, 0, u32::MAX), Err(Errno::INVAL));
    assert!(guest.read(handle, u64::MAX, 9).is_err());
    assert!(guest.write(handle, u64::MAX, OFlags::empty(), b"x").is_err());
    assert_eq!(guest.open(f, OFlags::ACCMODE), Err(Errno::INVAL));
    let much = [words(&[u32::MAX, 0]), longs(&[1, 1])].concat();
    assert_eq!(guest.call(opcode::BATCH_FORGET, 0, &much), Err(Errno::INVAL));
    let count =
        [longs(&[handle, 0]), words(&[u32::MAX, 0]), longs(&[0]), words(&[0, 0]), b"few".to_vec()].concat();
    assert_eq!(guest.call(opcode::WRITE, f, &count), Err(Errno::INVAL));
    // A folder's handle is no file's, and the other way round.
    let opened = guest.call(opcode::OPENDIR, ROOT, &words(&[0, 0])).unwrap();
    assert_eq!(guest.read(number64(&opened, 0), 0, 9), Err(Errno::ISDIR));
    let list = [longs(&[handle, 0]), words(&[4096, 0]), longs(&[0, 0])].concat();
    assert_eq!(guest.call(opcode::READDIR, ROOT, &list), Err(Errno::NOTDIR));
    // More handles than there may be.
    let mut last = Ok(0);
    for _ in 0..2000 {
        last = guest.open(f, OFlags::RDONLY);
    }
    assert_eq!(last, Err(Errno::NFILE));
    assert_eq!(fs::read(shared.join("f")).unwrap(), b"data");
}

#[test]
fn nothing_is_answered_before_the_two_have_agreed() {
    let (_dir, shared) = folder();
    let share = crate::fuzz::share(&shared);
    let mut reply = crate::reply::Reply::new();
    let early = share.answer(&message(opcode::GETATTR, ROOT, &longs(&[0, 0])), &mut reply).unwrap().unwrap();
    assert_eq!(number32(early, 4).cast_signed(), -Errno::IO.raw_os_error());
    let old = share.answer(&message(opcode::INIT, 0, &words(&[7, 12, 0, 0])), &mut reply).unwrap().unwrap();
    assert_eq!(number32(old, 4).cast_signed(), -Errno::PROTO.raw_os_error());
}

#[test]
fn set_id_bits_go_when_a_guest_writes() {
    let (_dir, shared) = folder();
    let file = shared.join("program");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o4755)).unwrap();
    let guest = Guest::of(&shared);
    let node = guest.lookup(ROOT, "program").unwrap().node;
    guest.change(node, fattr::MODE, 0o4755, (0, 0), 0).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o755);
}
