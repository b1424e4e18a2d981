//! What a box has changed: told, exported, and made an image of; and what it uses.

use crate::harness::Home;
use std::collections::BTreeMap;
use std::io::Read;

const CHANGES: &str = "set -e
    echo new > /etc/new; echo more >> /etc/passwd; rm /bin/vi; chmod 700 /home/app
    rm -r /var; mkdir /var; echo x > /var/x
    mv /home /moved; mkdir -p /a/b; echo deep > /a/b/c; ln /a/b/c /a/d; ln -s c /a/b/l; mknod /a/fifo p
    chown 5:6 /a/d; truncate -s 50M /a/hole; touch /gone; rm /gone";

fn files(tar: &[u8]) -> BTreeMap<String, (tar::EntryType, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (
            path.trim_start_matches("./").trim_end_matches('/').to_owned(),
            (entry.header().entry_type(), content),
        )
    });
    entries.collect()
}

#[test]
fn a_box_tells_what_it_has_changed() {
    let home = Home::new();
    home.idle("d");
    assert_eq!(home.a3s(&["diff", "d"]).run().ok(), "", "nothing is changed by running");
    home.exec("d", CHANGES);
    let diff = home.a3s(&["diff", "d"]).run().ok();
    let lines: Vec<_> = diff.lines().collect();
    for line in [
        "A /a",
        "A /a/b",
        "A /a/b/c",
        "A /a/b/l",
        "A /a/d",
        "A /a/fifo",
        "C /bin",
        "D /bin/vi",
        "C /etc",
        "A /etc/new",
        "C /etc/passwd",
        "D /home",
        "A /moved",
        "C /var",
        "A /var/x",
    ] {
        assert!(lines.contains(&line), "{line} is not in {diff}");
    }
    assert!(!diff.contains("gone") && lines.is_sorted_by_key(|line| &line[2..]), "{diff}");
}

#[test]
fn an_export_is_the_whole_root_and_can_be_imported() {
    let home = Home::new();
    home.idle("e");
    home.exec("e", CHANGES);
    let out = home.a3s(&["export", "e"]).run();
    assert_eq!(out.code, 0, "{}", out.stderr);
    let files = files(&out.stdout);
    assert_eq!(files["etc/new"].1, b"new\n");
    assert!(
        files.contains_key("moved/app") && files.contains_key("proc") && files.contains_key("bin/busybox")
    );
    for not in ["bin/vi", "home", "proc/1", "usr/bin/nsexec", "etc/hosts", "etc/resolv.conf"] {
        assert!(!files.contains_key(not), "{not}");
    }
    let file = home.path().join("root.tar").display().to_string();
    home.a3s(&["export", "-o", &file, "e"]).run().ok();
    home.a3s(&["import", &file, "again"]).run().ok();
    std::fs::remove_file(file).unwrap();
    let out = home.a3s(&["run", "--rm", "again", "cat", "/etc/new", "/a/b/l"]).run();
    assert_eq!(out.ok(), "new\ndeep");
    home.a3s(&["stop", "-t", "0", "e"]).run().ok();
    home.a3s(&["export", "e"]).run().refused(&["box e", "stopped", "a3s-box start e"]);
}

#[test]
fn a_commit_is_an_image_that_goes_on_where_the_box_was() {
    let home = Home::new();
    home.start("c", &["-e", "FROM=run \"x\"", "-w", "/tmp"], "sleep 100000");
    home.exec("c", CHANGES);
    let options = [
        "-a",
        "me",
        "-m",
        "done",
        "-c",
        "ENV ADDED=1",
        "-c",
        "CMD [\"sh\", \"-c\", \"cat /a/b/l; pwd; echo $FROM $ADDED\"]",
    ];
    home.a3s(&[&["commit"], &options[..], &["c", "mine:1"]].concat()).run().ok();
    assert_eq!(home.a3s(&["run", "--rm", "mine:1"]).run().ok(), "deep\n/tmp\nrun \"x\" 1");
    let look = "ls -d /bin/vi /home /gone; ls /var /moved/app; stat -c '%u:%g %h' /a/d; stat -c %a /moved/app; tail -n 1 /etc/passwd";
    let out = home.a3s(&["run", "--rm", "mine:1", "sh", "-c", look]).run();
    assert_eq!(out.text(), "/moved/app:\n\n/var:\nx\n5:6 2\n700\nmore\n");
    let history = home.a3s(&["history", "--no-trunc", "mine:1"]).run().ok();
    assert!(history.contains("done") || history.contains("sleep 100000"), "{history}");
    // What is only seen in a box is not the image's.
    let out = home.a3s(&["save", "mine:1"]).run();
    assert_eq!(out.code, 0, "{}", out.stderr);
    home.a3s(&["commit", "-c", "RUN x", "c"]).run().refused(&["RUN x", "ENTRYPOINT"]);
    assert_eq!(home.a3s(&["images", "-q"]).run().ok().lines().count(), 2, "nothing half-made is left");
}

#[test]
fn a_box_says_what_it_uses() {
    let home = Home::new();
    home.start("u", &["--memory", "256m"], "head -c 1000000 /dev/urandom > /f; sync; while :; do :; done");
    let table = home.a3s(&["stats", "--no-stream"]).run().ok();
    let (head, row) = table.split_once('\n').unwrap();
    assert!(head.starts_with("BOX ID") && head.ends_with("PIDS"), "{table}");
    assert!(row.contains(" u ") && row.contains('%'), "{table}");
    let json = home.a3s(&["stats", "--no-stream", "--format", "json", "u"]).run().ok();
    let stats: serde_json::Value = serde_json::from_str(&json).unwrap();
    let figure = |key: &str| stats[key].as_f64().unwrap();
    assert!((20.0..130.0).contains(&figure("cpu_percent")), "{stats}");
    assert!(figure("memory") > 1e6 && figure("memory") < figure("memory_limit"), "{stats}");
    assert!((200e6..268.5e6).contains(&figure("memory_limit")), "{stats}");
    assert!(figure("disk_read") > 0.0 && figure("disk_written") >= 1e6, "{stats}");
    assert!(figure("pids") >= 1.0 && figure("host_memory") > 1e6, "{stats}");
    home.a3s(&["stats", "--no-stream", "nobody"]).run().refused(&["no such box: nobody"]);
}
