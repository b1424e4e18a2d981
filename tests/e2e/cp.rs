//! Files between host and box: Docker's rules, everything that a folder holds, and guests that want out.

use crate::harness::Home;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

fn sums(dir: &Path) -> String {
    let script = "find . -type f -exec sha256sum {} + | sort -k2; find . -type l -exec ls -l {} + | sed 's/.* \\(.* -> .*\\)/\\1/' | sort";
    let out = std::process::Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn files_and_folders_go_in_and_come_back() {
    let home = Home::new();
    home.idle("c");
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/f"), vec![7; 300_000]).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    symlink("a/b/f", tree.join("link")).unwrap();
    fs::hard_link(tree.join("a/b/f"), tree.join("same")).unwrap();
    let hole = fs::File::create(tree.join("hole")).unwrap();
    hole.set_len(1 << 30).unwrap();

    let cp = |args: &[&str]| home.a3s(&[&["cp"], args].concat()).run();
    let at = |name: &str| dir.path().join(name).display().to_string();
    cp(&[&at("tree"), "c:/tmp"]).ok();
    assert_eq!(home.exec("c", "ls /tmp/tree"), "a\nempty\nhole\nlink\nsame");
    assert_eq!(home.exec("c", "stat -c '%u %h' /tmp/tree/same; du -k /tmp/tree/hole | cut -f1"), "0 2\n0");
    cp(&["c:/tmp/tree", &at("back")]).ok();
    assert_eq!(sums(&tree), sums(&dir.path().join("back")));
    let hole = fs::metadata(dir.path().join("back/hole")).unwrap();
    assert_eq!((hole.len(), hole.blocks()), (1 << 30, 0));

    // Into a folder that is there, its content alone, over a file, under another name.
    cp(&["c:/tmp/tree/.", &at("back")]).ok();
    cp(&["c:/tmp/tree/a", &at("back")]).ok();
    cp(&["c:tmp/tree/a/b/f", &at("back/empty")]).ok();
    assert_eq!(fs::metadata(dir.path().join("back/empty")).unwrap().len(), 300_000);
    cp(&[&at("tree/."), "c:/tmp/new"]).ok();
    assert_eq!(home.exec("c", "cat /tmp/new/a/b/f | wc -c"), "300000");
    cp(&["-L", "c:/tmp/tree/link", &at("followed")]).ok();
    assert_eq!(fs::metadata(dir.path().join("followed")).unwrap().len(), 300_000);
    cp(&["c:/tmp/tree/link", &at("kept")]).ok();
    assert_eq!(fs::read_link(dir.path().join("kept")).unwrap(), Path::new("a/b/f"));

    // Owners, where they are asked for.
    home.exec("c", "echo x > /tmp/owned; chown 1000:2000 /tmp/owned; chmod 4640 /tmp/owned");
    cp(&["-a", "c:/tmp/owned", &at("owned")]).ok();
    let owned = fs::metadata(dir.path().join("owned")).unwrap();
    assert_eq!(owned.mode() & 0o7777, 0o640);
    // Only root gives files away.
    if rustix::process::geteuid().is_root() {
        assert_eq!((owned.uid(), owned.gid()), (1000, 2000));
    }
    cp(&["-a", &at("owned"), "c:/tmp/again"]).ok();
    cp(&[&at("owned"), "c:/tmp/roots"]).ok();
    let owners = format!("{}:{}\n0:0", owned.uid(), owned.gid());
    assert_eq!(home.exec("c", "stat -c %u:%g /tmp/again /tmp/roots"), owners);

    // What cannot be.
    cp(&["c:/none", &at("x")]).refused(&["copy from box c", "none", "No such file"]);
    cp(&[&at("none"), "c:/tmp"]).refused(&["cannot read", "none"]);
    cp(&[&at("tree"), "c:/tmp/owned"]).refused(&["copy into box c", "folder", "file"]);
    cp(&[&at("tree"), "c:/no/where"]).refused(&["copy into box c", "no"]);
    cp(&["c:/tmp", "c:/tmp"]).refused(&["one box into another"]);
    cp(&["x", "y"]).refused(&["neither end is in a box", "BOX:PATH"]);
    cp(&["nobody:/x", "y"]).refused(&["no such box: nobody"]);
    home.a3s(&["stop", "-t", "0", "c"]).run().ok();
    cp(&["c:/tmp/tree", &at("y")]).refused(&["box c", "stopped", "a3s-box start c"]);
}

#[test]
fn archives_stream_in_and_out() {
    let home = Home::new();
    home.idle("s");
    home.exec("s", "mkdir -p /tmp/d/e; echo one > /tmp/d/e/f; chown -R 5:6 /tmp/d");
    let out = home.a3s(&["cp", "s:/tmp/d", "-"]).run();
    assert_eq!(out.code, 0, "{}", out.stderr);
    let mut archive = tar::Archive::new(&out.stdout[..]);
    let names: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
    assert_eq!(names, ["d/", "d/e/", "d/e/f"].map(std::path::PathBuf::from));
    home.exec("s", "mkdir /tmp/to");
    home.a3s(&["cp", "-", "s:/tmp/to"]).stdin(out.stdout).run().ok();
    assert_eq!(home.exec("s", "cat /tmp/to/d/e/f; stat -c %u:%g /tmp/to/d/e/f"), "one\n5:6");
    let noise = home.a3s(&["cp", "-", "s:/tmp/to"]).stdin(vec![b'x'; 5000]).run();
    noise.refused(&["copy into box s", "archive"]);
    let nowhere = home.a3s(&["cp", "-", "s:/tmp/none"]).stdin(vec![0; 1024]).run();
    nowhere.refused(&["copy into box s", "none"]);
}

#[test]
fn links_in_a_box_lead_nowhere_else() {
    let home = Home::new();
    home.idle("l");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "from the host").unwrap();
    let file = dir.path().join("f").display().to_string();
    // A link to the box's own root is the box's root, and one that goes up ends there.
    home.exec("l", "ln -s ../../../../../etc /tmp/up; ln -s /etc /tmp/etc; ln -s /proc/1/root /tmp/magic");
    home.a3s(&["cp", &file, "l:/tmp/up/a"]).run().ok();
    home.a3s(&["cp", &file, "l:/tmp/etc/b"]).run().ok();
    assert_eq!(home.exec("l", "cat /etc/a /etc/b"), "from the hostfrom the host");
    home.a3s(&["cp", &file, "l:/tmp/magic/c"]).run().refused(&["copy into box l"]);
    // Where the host's folder holds a link out of itself, nothing goes through it.
    let folder = dir.path().join("folder");
    fs::create_dir_all(&folder).unwrap();
    symlink(dir.path(), folder.join("out")).unwrap();
    home.exec("l", "mkdir -p /tmp/d/out; echo evil > /tmp/d/out/f");
    let target = folder.display().to_string();
    home.a3s(&["cp", "l:/tmp/d/.", &target]).run().refused(&["cannot copy to"]);
    assert_eq!(fs::read_to_string(dir.path().join("f")).unwrap(), "from the host");
    // A device is not made, and nothing waits for a pipe.
    home.exec("l", "mkfifo /tmp/pipe");
    home.a3s(&["cp", "l:/dev/null", &target]).run().refused(&["null", "devices are not made here"]);
    home.a3s(&["cp", "l:/tmp/pipe", &target]).run().ok();
}

#[test]
fn a_large_file_arrives_whole_and_a_copy_that_is_cut_leaves_nothing_running() {
    let home = Home::new();
    home.idle("b");
    home.exec("b", "head -c 100000000 /dev/urandom > /tmp/big");
    let sum = home.exec("b", "sha256sum < /tmp/big");
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("big").display().to_string();
    home.a3s(&["cp", "b:/tmp/big", &to]).run().ok();
    home.a3s(&["cp", &to, "b:/tmp/back"]).run().ok();
    assert_eq!(home.exec("b", "sha256sum < /tmp/back"), sum);
    // A reader that goes away, and a client that is killed.
    let mut cut = home.a3s(&["cp", "b:/tmp/big", "-"]).spawn();
    let mut some = [0; 1000];
    std::io::Read::read_exact(&mut cut.stdout(), &mut some).unwrap();
    cut.kill();
    crate::harness::eventually("an end of the copy", || {
        (!home.a3s(&["top", "b"]).run().ok().contains("/init")).then_some(())
    });
}
