//! What makes no sense, is damaged or is missing: a clear error, exit code 125, and nothing left of it.

use crate::harness::{Home, given};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shell(script: &str, arg: &Path) {
    let status = Command::new("sh").args(["-euc", script, "sh"]).arg(arg).status().unwrap();
    assert!(status.success(), "{script}");
}

/// A copy of the busybox layout, to be damaged.
fn layout(home: &Home, name: &str) -> PathBuf {
    let copy = home.path().join(name);
    let status = Command::new("cp").arg("-r").arg(given("A3S_TEST_BUSYBOX")).arg(&copy).status().unwrap();
    assert!(status.success());
    copy
}

/// The largest blob of a layout: its layer.
fn layer(layout: &Path) -> PathBuf {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    blobs.max_by_key(|blob| fs::metadata(blob).unwrap().len()).unwrap()
}

#[test]
fn a_damaged_image_is_refused_by_name() {
    let home = Home::empty();
    let load = |path: &Path| home.a3s(&["load", "--input"]).arg(path).run();
    load(Path::new("/no/such/image")).refused(&["/no/such/image"]);

    let missing = layout(&home, "missing");
    fs::remove_file(layer(&missing)).unwrap();
    load(&missing).refused(&["sha256:"]);

    let tampered = layout(&home, "tampered");
    let mut bytes = fs::read(layer(&tampered)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let file = layer(&tampered);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, bytes).unwrap();
    load(&tampered).refused(&["sha256:"]);

    let truncated = home.path().join("truncated.tar");
    shell("tar -C \"$A3S_TEST_BUSYBOX\" -cf \"$1\" . && truncate -s 300000 \"$1\"", &truncated);
    load(&truncated).refused(&["truncated.tar"]);

    let strange = layout(&home, "strange");
    let index = fs::read_to_string(strange.join("index.json")).unwrap();
    fs::write(strange.join("index.json"), index.replace("oci.image.manifest.v1+json", "surprise.v7"))
        .unwrap();
    load(&strange).refused(&["surprise.v7"]);

    let garbage = home.path().join("garbage");
    fs::write(&garbage, vec![0x5a; 100_000]).unwrap();
    load(&garbage).refused(&["garbage"]);

    let images = home.a3s(&["images", "-q"]).run().ok();
    assert_eq!(images, "", "an image of which a part is missing");
    let blobs = walk(&home.path().join("images/blobs"));
    assert!(blobs.is_empty(), "left in the store: {blobs:?}");
    home.a3s(&["run", "--rm", "127.0.0.1:1/no/such:image"]).run().refused(&["127.0.0.1:1"]);
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn figures_that_make_no_sense_are_refused_before_anything_starts() {
    let home = Home::new();
    for (options, words) in [
        (["--memory", "0"], ["memory", "0B"]),
        (["--memory", "1m"], ["memory", "1MiB"]),
        (["--memory", "12 parsecs"], ["--memory", "12 parsecs"]),
        (["--memory", "99999t"], ["memory", "99999TiB"]),
        (["--cpus", "0"], ["CPUs", "0"]),
        (["--cpus", "65"], ["CPUs", "65"]),
        (["--cpus", "-1"], ["--cpus", "-1"]),
        (["--disk", "1k"], ["disk", "1KiB"]),
        (["--vmm", "bochs"], ["--vmm", "bochs"]),
        (["--accel", "magic"], ["--accel", "magic"]),
        (["--workdir", "relative"], ["relative", "absolute"]),
        (["--env", "=x"], ["=x", "NAME=value"]),
        (["--env-file", "/no/such/file"], ["/no/such/file", "cannot read"]),
        (["--hostname", "not_a_host"], ["not_a_host", "host name"]),
        (["--name", "b ad"], ["b ad", "name"]),
        (["--stop-signal", "SIGNONE"], ["SIGNONE", "signal"]),
        (["--boot-timeout", "0"], ["boot", "0"]),
        (["--security-opt", "seccomp=off"], ["seccomp=off", "no-new-privileges"]),
    ] {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["busybox", "true"]);
        let out = home.a3s(&args).run();
        out.refused(&words);
        assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "", "{options:?}");
    }
}

#[test]
fn more_memory_than_the_host_can_give_is_said_so() {
    let home = Home::new();
    home.a3s(&["run", "--rm", "--memory", "1023g", "busybox", "true"]).run().refused(&["memory"]);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
}

#[test]
fn without_a_vmm_or_a_kernel_the_way_out_is_named() {
    let home = Home::new();
    let run = || home.a3s(&["run", "--rm", "busybox", "true"]);
    let qemu = || home.a3s(&["run", "--rm", "--vmm", "qemu", "busybox", "true"]);
    qemu().env("A3S_BOX_QEMU", "/no/qemu").run().refused(&["qemu", "not installed", "apt-get install"]);
    qemu().env("A3S_BOX_QEMU", "/bin/false").run().refused(&["VMM ended"]);
    let nothing = home.path().join("nothing");
    run().env("A3S_BOX_KERNEL_DIR", &nothing).run().refused(&[
        "kernel is not installed",
        "cargo xtask kernel",
        "A3S_BOX_KERNEL_DIR",
    ]);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
}

#[test]
fn a_guest_that_does_not_come_up_is_given_up_and_says_how_far_it_came() {
    let home = Home::new();
    let (kernel, initramfs) = home.guest();
    let run = |dir: &Path, timeout: &str| {
        home.a3s(&["run", "--rm", "--boot-timeout", timeout, "busybox", "true"])
            .env("A3S_BOX_KERNEL_DIR", dir)
            .run()
    };

    let hangs = home.hanging_guest();
    run(&hangs, "8").refused(&["within 8 s", "it came as far as", "--boot-timeout"]);

    // No init at all: the kernel panics, and that is what is told.
    let panics = home.guest_files("panics", &kernel, b"");
    run(&panics, "60").refused(&["panic"]);

    let half = home.guest_files("half", &kernel[..kernel.len() / 2], &initramfs);
    run(&half, "20").refused(&["box "]);
    let noise = home.guest_files("noise", &vec![0x5a; 1 << 20], &initramfs);
    run(&noise, "20").refused(&["box "]);
    let foreign = home.guest_files("half-init", &kernel, &initramfs[..initramfs.len() / 2]);
    run(&foreign, "60").refused(&["box "]);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
}

/// Runs `script` with a full-sized tmpfs of `size` as A3S_HOME, in a mount namespace of its own.
fn on_a_small_disk(size: &str, script: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(if rustix::process::geteuid().is_root() {
        &["--mount"][..]
    } else {
        &["--mount", "--map-root-user"]
    });
    let mount = format!("mount -t tmpfs -o size={size} none \"$A3S_HOME\" && {script}");
    command.args(["sh", "-c", &mount]).env("A3S_HOME", dir.path());
    let path = format!("{}:{}", given("A3S_TEST_PROGRAMS").display(), std::env::var("PATH").unwrap());
    let out = command.env("PATH", path).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let (code, text) = on_a_small_disk(
        "500k",
        "a3s-box load -t busybox -i \"$A3S_TEST_BUSYBOX\"; c=$?; a3s-box images -q; exit $c",
    );
    assert_eq!(code, 125, "{text}");
    assert!(text.contains("No space left") && text.lines().count() <= 2, "{text}");
    // Room for the image, and none for the box's disk or state.
    let script = "a3s-box load -t busybox -i \"$A3S_TEST_BUSYBOX\" > /dev/null && dd if=/dev/zero of=\"$A3S_HOME/ballast\" bs=4k 2>/dev/null; \
        a3s-box create busybox; c=$?; a3s-box ps -aq; ls \"$A3S_HOME/boxes\"; exit $c";
    let (code, text) = on_a_small_disk("8m", script);
    assert_eq!(code, 125, "{text}");
    assert!(text.contains("No space left"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("error: ") || line.starts_with("hint: ")), "{text}");
}

#[test]
fn a_damaged_rootfs_image_is_made_again() {
    let home = Home::new();
    let rootfs = walk(&home.path().join("rootfs"))
        .into_iter()
        .find(|f| f.extension().is_some_and(|e| e == "erofs"))
        .unwrap();
    let length = fs::metadata(&rootfs).unwrap().len();
    fs::OpenOptions::new().write(true).open(&rootfs).unwrap().set_len(length / 2).unwrap();
    assert_eq!(home.a3s(&["run", "--rm", "busybox", "echo", "whole"]).run().ok(), "whole");
    assert_eq!(fs::metadata(&rootfs).unwrap().len(), length);
}

#[test]
fn a_damaged_state_is_refused_and_left_alone() {
    let home = Home::new();
    let records = home.path().join("boxes.json");
    for (text, word) in [("{\"schema\":1", "damaged"), ("{\"schema\":999}", "schema 999")] {
        fs::write(&records, text).unwrap();
        home.a3s(&["ps"]).run().refused(&["boxes.json", word]);
        home.a3s(&["create", "busybox"]).run().refused(&["boxes.json", word]);
        assert_eq!(fs::read_to_string(&records).unwrap(), text);
    }
    fs::remove_file(&records).unwrap();
}

#[test]
fn a_box_without_its_folder_is_told_and_can_be_removed() {
    let home = Home::new();
    home.start("lost", &[], "exit 0");
    let id = home.inspect("lost")["id"].as_str().unwrap().to_owned();
    home.await_quiet();
    fs::remove_dir_all(home.path().join("boxes").join(id)).unwrap();
    assert_eq!(home.state("lost").unwrap(), "failed");
    home.a3s(&["start", "lost"]).run().refused(&["lost is gone", "a3s-box rm lost"]);
    home.a3s(&["logs", "lost"]).run().ok();
    home.a3s(&["rm", "lost"]).run().ok();
}

#[test]
fn a_process_that_has_the_pid_of_an_old_one_is_left_alone() {
    let home = Home::new();
    home.idle("p");
    let id = home.inspect("p")["id"].as_str().unwrap().to_owned();
    home.a3s(&["kill", "p"]).run().ok();
    home.await_quiet();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let file = home.path().join("boxes").join(id).join("status.json");
    let mut status: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for who in ["shim", "vmm"] {
        status[who]["pid"] = other.id().into();
    }
    status["exit"] = serde_json::Value::Null;
    fs::write(&file, serde_json::to_vec(&status).unwrap()).unwrap();
    assert_eq!(home.state("p").unwrap(), "stopped");
    home.a3s(&["stop", "p"]).run().ok();
    home.a3s(&["start", "p"]).run().ok();
    home.a3s(&["kill", "p"]).run().ok();
    home.await_quiet();
    // Numbers count from the host's boot: those of another one are another process's, even where both are the same.
    let stat = fs::read_to_string(format!("/proc/{}/stat", other.id())).unwrap();
    let start: u64 =
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
    status["vmm"]["start_time"] = start.into();
    status["shim"]["start_time"] = start.into();
    status["boot"] = "another".into();
    fs::write(&file, serde_json::to_vec(&status).unwrap()).unwrap();
    home.a3s(&["start", "p"]).run().ok();
    home.a3s(&["rm", "-f", "p"]).run().ok();
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let home = Home::new();
    let path = format!("{}:{}", given("A3S_TEST_PROGRAMS").display(), std::env::var("PATH").unwrap());
    for command in ["create busybox", "run --rm busybox true", "ps"] {
        let script = format!(
            "mount --bind \"$A3S_HOME\" \"$A3S_HOME\" && mount -o remount,bind,ro \"$A3S_HOME\" && a3s-box {command}"
        );
        let mut unshare = Command::new("unshare");
        let root = rustix::process::geteuid().is_root();
        unshare.args(if root { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
        let out = unshare
            .args(["sh", "-c", &script])
            .env("A3S_HOME", home.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(125), "{command}: {said}");
        assert!(
            said.contains("Read-only file system") && said.contains(&home.path().display().to_string()),
            "{said}"
        );
        assert!(said.contains("hint: "), "{said}");
    }
}

#[test]
fn a_name_that_is_almost_right_is_asked_about() {
    let home = Home::new();
    home.a3s(&["network", "create", "backend"]).run().ok();
    home.a3s(&["volume", "create", "data"]).run().ok();
    home.a3s(&["create", "--name", "web", "busybox"]).run().ok();
    for (args, words) in [
        (&["stop", "wbe"][..], ["no such box: wbe; did you mean \"web\"?", "a3s-box ps -a"]),
        (&["rm", "-v", "web"], ["'-v'", "--help"]),
        (&["inspect", "nothing-like-it"], ["no such box: nothing-like-it\n", "a3s-box ps -a"]),
        (&["history", "busybxo"], ["did you mean \"busybox\"?", "a3s-box images"]),
        (&["rmi", "busybox:lates"], ["did you mean \"busybox:latest\"?", "a3s-box images"]),
        (&["network", "rm", "backned"], ["did you mean \"backend\"?", "network create"]),
        (&["volume", "inspect", "dta"], ["did you mean \"data\"?", "volume ls"]),
        (&["run", "--memroy", "1g", "busybox"], ["--memroy", "--help"]),
        (&["strat", "web"], ["strat", "start"]),
    ] {
        home.a3s(args).run().refused(&words);
    }
}
