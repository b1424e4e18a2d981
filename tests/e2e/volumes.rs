//! Volumes: what is written there outlives its box, and has one writer at a time.

use crate::harness::Home;
use std::fs;

#[test]
fn a_volume_outlives_its_boxes() {
    let home = Home::new();
    let run = |volume: &str, script: &str| {
        home.a3s(&["run", "--rm", "-v", volume, "busybox", "sh", "-c", script]).run().ok()
    };
    // It is made when it is first asked for, and no box that goes takes it along.
    assert_eq!(run("data:/srv/deep", "echo kept > /srv/deep/file; ls -a /srv/deep"), ".\n..\nfile");
    assert_eq!(run("data:/else", "cat /else/file; echo more >> /else/file"), "kept");
    let script = "cat /ro/file; echo x > /ro/file; mount | grep -c ' /ro type ext4 (ro'";
    let ro = home.a3s(&["run", "--rm", "-v", "data:/ro:ro", "busybox", "sh", "-c", script]).run();
    assert!(ro.ok().starts_with("kept\nmore\n"), "{ro:?}");
    assert!(ro.stderr.contains("Read-only file system"), "{ro:?}");
    let mount = "type=volume,source=data,target=/m,readonly";
    assert_eq!(
        home.a3s(&["run", "--rm", "--mount", mount, "busybox", "cat", "/m/file"]).run().ok(),
        "kept\nmore"
    );

    assert_eq!(home.a3s(&["volume", "ls", "-q"]).run().ok(), "data");
    let json = home.a3s(&["volume", "inspect", "data"]).run().ok();
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&view[0]["name"], &view[0]["driver"]), (&"data".into(), &"local".into()));
    assert!(view[0]["used"].as_u64().unwrap() < 64 << 20, "{view}");
    assert_eq!(home.a3s(&["volume", "rm", "data"]).run().ok(), "data");
    assert!(fs::read_dir(home.path().join("volumes")).unwrap().next().is_none());
}

#[test]
fn a_volume_has_one_writer_or_many_readers() {
    let home = Home::new();
    let create = ["volume", "create", "--label", "a=b", "-o", "size=64m", "shared"];
    assert_eq!(home.a3s(&create).run().ok(), "shared");
    home.start("writer", &["-v", "shared:/v"], "echo written > /v/f; sync; echo up; sleep 100000");
    home.await_log("writer", "up");
    let kb: u64 = home.exec("writer", "df -k /v | awk 'NR > 1 { print $2 }'").parse().unwrap();
    assert!((40 << 10..64 << 10).contains(&kb), "{kb}");
    for options in ["shared:/v", "shared:/v:ro"] {
        home.a3s(&["run", "--rm", "-v", options, "busybox", "true"])
            .run()
            .refused(&["shared", "in use by box writer"]);
    }
    home.a3s(&["volume", "rm", "shared"]).run().refused(&["writer", "shared"]);
    // A box that is killed with everything leaves the volume whole, and free.
    let vmm = home.pid("writer", "vmm").unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(vmm).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    home.a3s(&["wait", "writer"]).run();
    let script = "cat /v/f; echo up; sleep 100000";
    home.start("one", &["-v", "shared:/v:ro"], script);
    home.start("two", &["-v", "shared:/v:ro"], script);
    home.await_log("one", "up");
    home.await_log("two", "up");
    home.a3s(&["start", "writer"]).run().refused(&["shared", "in use", ":ro"]);
    home.a3s(&["stop", "-t", "0", "one", "two"]).run().ok();
    assert_eq!(home.a3s(&["logs", "one"]).run().ok(), "written\nup");
    home.a3s(&["start", "writer"]).run().ok();
    home.a3s(&["rm", "-f", "writer", "one", "two"]).run().ok();
    home.a3s(&["volume", "prune"]).run().refused(&["--all"]);
    assert!(home.a3s(&["df"]).run().ok().contains("volumes"));
    assert!(home.a3s(&["volume", "prune", "--all", "-f"]).run().ok().starts_with("shared\n"));
}

#[test]
fn volumes_that_make_no_sense_are_refused() {
    let home = Home::new();
    for (options, words) in [
        (["--device", "/dev/kvm"], ["--device", "boundary"]),
        (["-v", "data:relative"], ["relative", "absolute"]),
        (["-v", "data:/proc/x"], ["/proc/x", "guest's own"]),
        (["-v", "/anonymous"], ["/anonymous", "NAME:PATH"]),
        (["--mount", "type=tmpfs,dst=/b"], ["type=tmpfs", "--tmpfs"]),
    ] {
        let mut args = vec!["create"];
        args.extend(options);
        args.push("busybox");
        home.a3s(&args).run().refused(&words);
    }
    let four = ["create", "-v", "a:/a", "-v", "b:/b", "-v", "c:/c", "-v", "d:/d", "busybox"];
    home.a3s(&four).run().refused(&["4 volumes", "at most 3"]);
    let twice = ["create", "-v", "a:/a", "-v", "b:/a/", "busybox"];
    home.a3s(&twice).run().refused(&["two file systems at /a"]);
    assert_eq!(home.a3s(&["volume", "ls", "-q"]).run().ok(), "");
    home.a3s(&["volume", "rm", "nothing"]).run().refused(&["no such volume", "volume ls"]);
    home.a3s(&["volume", "create", "-o", "size=1", "x"]).run().refused(&["size"]);
}
