//! What `doctor` finds that belongs to no box, and removes when it is asked to; and that it leaves the living alone.

use crate::harness::{Home, eventually, given};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `doctor` says is left, sorted.
fn leftovers(home: &Home, options: &[&str]) -> Vec<Value> {
    let out = home.a3s(&[&["doctor", "--format", "json"], options].concat()).run();
    // 1 would be a host on which no boxes run.
    assert_eq!(out.code, 0, "{}\n{}", out.text(), out.stderr);
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(found["checks"].as_array().unwrap().len() > 5, "{found}");
    found["leftovers"].as_array().unwrap().clone()
}

/// A file of 64 KiB, in a folder that is made for it.
fn put(path: PathBuf) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, vec![0x5a; 64 << 10]).unwrap();
    path
}

fn folder(home: &Home, name: &str) -> PathBuf {
    home.path().join("boxes").join(home.inspect(name)["id"].as_str().unwrap())
}

#[test]
fn all_that_belongs_to_no_box_is_told_and_removed_and_nothing_else() {
    let home = Home::new();
    home.a3s(&["network", "create", "net"]).run().ok();
    let script = "echo kept > /data/f; sync; echo up; sleep 100000";
    home.start("alive", &["--network", "net", "-v", "data:/data"], script);
    home.await_log("alive", "up");
    home.idle("orphan");
    home.start("stopped", &[], "exit 0");
    home.a3s(&["wait", "stopped"]).run().ok();
    home.a3s(&["create", "--name", "lost", "busybox"]).run().ok();
    assert_eq!(leftovers(&home, &[]), [] as [Value; 0], "of a home in order");

    let [shim, vmm] = ["shim", "vmm"].map(|who| home.pid("orphan", who).unwrap());
    let orphan = folder(&home, "orphan");
    let hex = |digit: &str| digit.repeat(64);
    let at = |path: &str| home.path().join(path);
    let alive = folder(&home, "alive");
    let files = [
        ("folder", put(at("boxes/unknown/upper.ext4")).parent().unwrap().to_owned()),
        ("temporary-file", put(at(".tmp-dead"))),
        ("temporary-file", put(at("disks/.tmp-dead"))),
        ("temporary-file", put(at("templates/.tmp-dead"))),
        ("temporary-file", put(at("images/.tmp-dead"))),
        ("temporary-file", put(at("rootfs/.tmp-dead"))),
        ("temporary-file", put(at("volumes/data/.tmp-dead"))),
        ("temporary-file", put(at("networks/net/.tmp-dead"))),
        ("temporary-file", put(alive.join(".tmp-dead"))),
        ("socket", put(at("networks/net/ghost.sock"))),
        ("network", put(at("networks/net/ghost.json"))),
        ("network", put(at("networks/half/x")).parent().unwrap().to_owned()),
        ("volume", put(at("volumes/half/data.ext4")).parent().unwrap().to_owned()),
        ("disk", put(at("disks/ext4-1048576-v0.img"))),
        ("template", put(at("templates/0.template"))),
        ("blob", put(at("images/blobs/sha256").join(hex("a")))),
        ("blob", put(at("images/partial").join(hex("b")))),
        ("rootfs", put(at("rootfs").join(hex("c") + "-v1.erofs"))),
        ("rootfs", put(at("rootfs").join(hex("d") + "-v0.erofs"))),
    ];
    fs::remove_dir_all(folder(&home, "lost")).unwrap();
    // A box whose record went: its folder, its shim and its VMM are nobody's.
    let records = at("boxes.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&records).unwrap()).unwrap();
    file["boxes"].as_object_mut().unwrap().retain(|_, record| record["name"] != "orphan");
    fs::write(&records, serde_json::to_vec(&file).unwrap()).unwrap();

    let told = leftovers(&home, &[]);
    let has = |kind: &str, name: &str| told.iter().any(|left| left["kind"] == kind && left["name"] == name);
    for (kind, path) in files.iter().chain([&("folder", orphan.clone())]) {
        assert!(has(kind, path.to_str().unwrap()), "{kind} {} is not in {told:#?}", path.display());
        assert!(path.exists(), "{} was not to be removed", path.display());
    }
    assert!(has("process", &format!("{shim} (a3s-box-shim)")), "{told:#?}");
    assert!(has("box", "lost"), "{told:#?}");
    let kinds: BTreeSet<&str> = told.iter().map(|left| left["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 11, "{kinds:?}");
    // The VMM goes with its shim, and may hide where it works.
    let known = files.len() + 3;
    assert!((known..=known + 1).contains(&told.len()), "{told:#?}");
    for left in &told {
        assert!(left["removed"] == false && !left["why"].as_str().unwrap().is_empty(), "{left}");
        assert!(left["kind"] == "box" || left["size"].as_u64().unwrap() > 4096, "{left}");
    }
    let text = home.a3s(&["doctor"]).run().ok();
    assert!(text.contains("left  process") && text.contains("doctor --repair"), "{text}");

    let repaired = leftovers(&home, &["--repair"]);
    assert_eq!(repaired.len(), told.len());
    for left in &repaired {
        assert!(left["removed"] == true, "{left}");
    }
    for (_, path) in &files {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(!orphan.exists() && home.state("lost").is_none());
    eventually("an end of the orphans", || {
        let left = |pid: i32| home.processes().iter().any(|line| line.starts_with(&format!("{pid}: ")));
        (!left(shim) && !left(vmm)).then_some(())
    });
    assert_eq!(leftovers(&home, &[]), [] as [Value; 0]);

    assert_eq!(home.exec("alive", "cat /data/f"), "kept");
    assert_eq!(home.state("stopped").as_deref(), Some("stopped"));
    home.a3s(&["restart", "-t", "0", "alive"]).run().ok();
    assert_eq!(home.a3s(&["run", "--rm", "busybox", "echo", "whole"]).run().ok(), "whole");
}

/// Runs `script` in a mount namespace of its own, where `root` may mount.
fn unshared(home: &Path, script: &str) -> String {
    let root = rustix::process::geteuid().is_root();
    let path = format!("{}:{}", given("A3S_TEST_PROGRAMS").display(), std::env::var("PATH").unwrap());
    let out = Command::new("unshare")
        .args(if root { &["--mount"][..] } else { &["--mount", "--map-root-user"] })
        .args(["sh", "-euc", script])
        .env("A3S_HOME", home)
        .env("PATH", path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    text
}

#[test]
fn what_is_mounted_in_a_folder_is_unmounted_and_not_emptied() {
    let home = Home::empty();
    home.a3s(&["ps"]).run().ok();
    fs::create_dir_all(home.path().join("kept")).unwrap();
    fs::write(home.path().join("kept/file"), "kept").unwrap();
    let script = "mkdir -p \"$A3S_HOME/boxes/gone/m\"; mount --bind \"$A3S_HOME/kept\" \"$A3S_HOME/boxes/gone/m\"; \
        a3s-box doctor | grep -E '^left' || exit 1; test -e \"$A3S_HOME/boxes/gone/m/file\"; \
        (cd \"$A3S_HOME/boxes/gone/m\"; a3s-box doctor --repair | grep -E '^(gone|FAIL  (mount|folder))'); \
        cat \"$A3S_HOME/kept/file\"; echo; a3s-box doctor --repair | grep -E '^(gone|left|FAIL  (mount|folder))'; \
        ! a3s-box doctor | grep -E '^left'";
    let text = unshared(home.path(), script);
    let lines: Vec<&str> = text.lines().collect();
    let begins = |line: usize, word: &str| assert!(lines[line].starts_with(word), "{line}: {text}");
    assert_eq!(lines.len(), 7, "{text}");
    begins(0, "left  mount");
    begins(1, "left  folder");
    // While somebody works in it.
    begins(2, "FAIL  mount");
    begins(3, "FAIL  folder");
    begins(4, "kept");
    begins(5, "gone  mount");
    begins(6, "gone  folder");
    assert_eq!(fs::read_to_string(home.path().join("kept/file")).unwrap(), "kept");
    assert!(!home.path().join("boxes/gone").exists());
}
