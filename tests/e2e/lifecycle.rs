//! A box from its creation to its removal, as a Docker user's fingers know it.

use crate::harness::{Home, Kernel, eventually};

#[test]
fn a_box_is_created_started_stopped_started_again_and_removed() {
    let home = Home::new();
    let script = "trap 'echo bye; exit 3' TERM; echo started as $(hostname); echo again >> /log; wc -l < /log; sleep 100000 & wait";
    let id =
        home.a3s(&["create", "--name", "it", "--hostname", "host", "busybox", "sh", "-c", script]).run().ok();
    assert_eq!(id.len(), 32);
    assert_eq!(home.state("it").unwrap(), "created");
    assert_eq!(home.a3s(&["ps", "-q"]).run().ok(), "");

    assert_eq!(home.a3s(&["start", "it"]).run().ok(), "it");
    assert_eq!(home.state("it").unwrap(), "running");
    home.await_log("it", "1\n");
    assert_eq!(home.a3s(&["ps", "-q"]).run().ok(), id[..12]);
    home.a3s(&["rm", "it"]).run().refused(&["running", "rm -f"]);
    home.a3s(&["rm", "nobody"]).run().refused(&["no such box: nobody"]);
    let forced = home.a3s(&["rm", "-f", "nobody"]).run();
    assert_eq!((forced.ok(), forced.stderr.contains("no such box: nobody")), (String::new(), true));
    assert_eq!(home.a3s(&["stop", "it"]).run().ok(), "it");
    let view = home.inspect("it");
    assert_eq!(view["state"], "stopped");
    assert_eq!(
        (&view["run"]["exit"]["code"], &view["run"]["exit"]["reason"]),
        (&3.into(), &"stopped".into())
    );
    assert_eq!(home.a3s(&["logs", "it"]).run().ok(), "started as host\n1\nbye");

    // What it wrote to its disk is there again.
    home.a3s(&["start", &id[..4]]).run().ok();
    home.await_log("it", "2\n");
    home.a3s(&["stop", &id]).run().ok();
    assert_eq!(home.a3s(&["logs", "--tail", "3", "it"]).run().ok(), "started as host\n2\nbye");
    assert_eq!(home.a3s(&["rm", "it"]).run().ok(), "it");
    home.a3s(&["inspect", "it"]).run().refused(&["no such box: it", "ps -a"]);
}

#[test]
fn a_box_left_running_can_be_joined() {
    let home = Home::new();
    let script = "echo early; while read line; do echo got $line; [ $line = end ] && exit 4; done";
    home.start("talker", &["-i"], script);
    home.await_log("talker", "early");
    let mut first = home.a3s(&["attach", "--no-stdin", "talker"]).spawn();
    let last = home.a3s(&["attach", "talker"]).stdin(b"one\nend\n").run();
    assert_eq!((last.code, last.text().as_str()), (4, "got one\ngot end\n"));
    assert_eq!(first.wait().code, 4);
    home.a3s(&["attach", "talker"]).run().refused(&["talker is stopped", "a3s-box start talker"]);
    home.a3s(&["attach", "nobody"]).run().refused(&["no such box"]);
}

#[test]
fn stop_waits_for_the_grace_period_and_no_longer() {
    let home = Home::new();
    home.start("stubborn", &[], "trap '' TERM; echo up; while :; do sleep 1; done");
    home.a3s(&["stop", "-t", "1", "stubborn"]).run().ok();
    let exit = home.inspect("stubborn")["run"]["exit"].clone();
    assert_eq!((&exit["code"], &exit["reason"]), (&137.into(), &"stopped".into()));
}

#[test]
fn signals_reach_the_process() {
    let home = Home::new();
    home.start(
        "s",
        &[],
        "trap 'echo got usr1' USR1; trap 'echo got int; exit 4' INT; echo up; while :; do sleep 0.1; done",
    );
    home.await_log("s", "up\n");
    assert_eq!(home.a3s(&["kill", "-s", "USR1", "s"]).run().ok(), "s");
    home.await_log("s", "got usr1\n");
    assert_eq!(home.a3s(&["kill", "--signal", "SIGINT", "s"]).run().ok(), "s");
    let logs = home.a3s(&["logs", "-f", "s"]).run().ok();
    assert_eq!(logs, "up\ngot usr1\ngot int");
    assert_eq!(home.inspect("s")["run"]["exit"]["code"], 4);
    home.a3s(&["kill", "s"]).run().refused(&["s", "stopped"]);
}

#[test]
fn logs_follow_a_box_to_its_end() {
    let home = Home::new();
    home.start(
        "l",
        &[],
        "echo first; mkfifo /tmp/go; echo second; read y < /tmp/go; echo third; echo oops >&2",
    );
    let mut following = home.a3s(&["logs", "-f", "l"]).spawn();
    // The box may end before this does, and it with the box.
    home.a3s(&["exec", "l", "sh", "-c", "until [ -p /tmp/go ]; do sleep 0.05; done; echo go > /tmp/go"])
        .run();
    let out = following.wait();
    assert_eq!((out.ok().as_str(), out.stderr.as_str()), ("first\nsecond\nthird", "oops\n"));
}

#[test]
fn names_ids_and_prefixes_all_resolve() {
    let home = Home::new();
    let first = home.a3s(&["create", "busybox"]).run().ok();
    let view = home.inspect(&first);
    let name = view["name"].as_str().unwrap();
    assert!(name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
    for text in [name, &first, &first[..12], &first[..6]] {
        assert_eq!(home.inspect(text)["id"], first.as_str(), "{text}");
    }
    // Seventeen boxes cannot all begin with another digit.
    let mut ids = vec![first];
    while ids.len() < 17 {
        ids.push(home.a3s(&["create", "busybox"]).run().ok());
    }
    let digit = (0..16)
        .map(|d| format!("{d:x}"))
        .find(|d| ids.iter().filter(|id| id.starts_with(d.as_str())).count() > 1)
        .unwrap();
    home.a3s(&["inspect", &digit]).run().refused(&["ambiguous", "more digits"]);
    home.a3s(&["create", "--name", name, "busybox"]).run().refused(&[name, "taken"]);
}

#[test]
fn what_the_image_says_is_kept_unless_the_command_line_says_otherwise() {
    let home = Home::new();
    let script = "id -u; id -G; pwd; echo $A $B $HOME; hostname; nproc";
    let file = home.path().join("env");
    std::fs::write(&file, "A=file\nB=file\n").unwrap();
    let run = |options: &[&str]| {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["busybox", "sh", "-c", script]);
        home.a3s(&args).run().ok()
    };
    let (env_file, cpus) = (file.to_str().unwrap(), home.kernel().cpus());
    assert_eq!(
        run(&[
            "-u",
            "app",
            "-w",
            "/made/up",
            "-e",
            "A=1",
            "--env-file",
            env_file,
            "--hostname",
            "h",
            "--cpus",
            cpus
        ]),
        format!("1000\n1000 2000\n/made/up\n1 file /home/app\nh\n{cpus}")
    );
    assert_eq!(run(&["-u", "12:34", "--hostname", "h"]), "12\n34\n/\n/\nh\n1");
    let echo = home.a3s(&["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]).run();
    assert_eq!(echo.ok(), "a b");
}

#[test]
fn a_kernel_of_one_cpu_is_not_given_two() {
    let home = Home::new();
    let out = home.a3s(&["run", "--rm", "--cpus", "2", "busybox", "nproc"]).run();
    match home.kernel() {
        Kernel::Standard => assert_eq!(out.ok(), "2"),
        Kernel::Cpl3 => out.refused(&["cpl3 kernel", "1 vCPU", "--cpus", "--accel tcg"]),
    }
}

#[test]
fn two_boxes_of_one_image_share_its_rootfs_and_not_their_writes() {
    let home = Home::new();
    home.idle("a");
    home.idle("b");
    home.exec("a", "echo a > /secret; rm /bin/vi; echo changed > /etc/passwd");
    assert_eq!(home.exec("b", "ls /secret 2>/dev/null; ls /bin/vi; grep -c root /etc/passwd"), "/bin/vi\n1");
    let rootfs = |name: &str| home.inspect(name)["image"]["rootfs"].clone();
    assert_eq!(rootfs("a"), rootfs("b"));
    let files: Vec<_> = std::fs::read_dir(home.path().join("rootfs")).unwrap().flatten().collect();
    let images = files.iter().filter(|f| f.file_name().to_string_lossy().ends_with(".erofs")).count();
    assert_eq!(images, 1, "{files:?}");
    home.a3s(&["rmi", "busybox"]).run().refused(&["busybox"]);
}

#[test]
fn a_box_is_closed_off_as_containers_are() {
    let home = Home::new();
    home.idle("c");
    let caps = home.exec("c", "grep CapEff /proc/self/status | cut -f2");
    assert_eq!(caps, "00000000a80425fb", "Docker's default capabilities");
    assert_eq!(home.exec("c", "grep Seccomp: /proc/self/status | cut -f2"), "2");
    assert_eq!(home.exec("c", "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 100000 ");
    assert_eq!(
        home.exec("c", "echo x > /proc/sys/kernel/hostname && echo written || echo refused"),
        "refused"
    );
    assert_eq!(home.exec("c", "cat /proc/kcore 2>/dev/null | wc -c; ls -A /proc/acpi /sys/firmware 2>/dev/null | grep -v : | wc -w"), "0\n0");
    assert_eq!(home.exec("c", "mount -t tmpfs x /mnt 2>/dev/null || echo refused"), "refused");
    assert_eq!(
        home.exec("c", "ls /dev | sort | xargs"),
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    let user =
        home.a3s(&["exec", "-u", "app", "c", "grep", "-E", "CapEff|CapBnd", "/proc/self/status"]).run().ok();
    assert!(user.contains("CapEff:\t0000000000000000"), "{user}");
    let out = home
        .a3s(&[
            "run",
            "--rm",
            "--security-opt",
            "no-new-privileges",
            "busybox",
            "grep",
            "NoNewPrivs",
            "/proc/self/status",
        ])
        .run();
    assert_eq!(out.ok(), "NoNewPrivs:\t1");
}

#[test]
fn info_and_version_say_what_there_is() {
    let home = Home::new();
    assert!(home.a3s(&["version"]).run().ok().starts_with("a3s-box "));
    let info: serde_json::Value =
        serde_json::from_str(&home.a3s(&["info", "--format", "json"]).run().ok()).unwrap();
    assert_eq!((&info["boxes"], &info["images"]), (&0.into(), &1.into()));
    assert!(info["problems"].as_array().unwrap().is_empty(), "{info}");
    let images = home.a3s(&["images"]).run().ok();
    assert!(images.lines().nth(1).unwrap().starts_with("busybox"), "{images}");
}

#[test]
fn a_box_can_be_waited_for_restarted_and_renamed() {
    let home = Home::new();
    home.start("one", &[], "echo run >> /runs; trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done");
    let mut waiting = home.a3s(&["wait", "one"]).spawn();
    home.await_log("one", "up\n");
    let shim = format!("{}/shim.sock", home.inspect("one")["id"].as_str().unwrap());
    eventually("the command that waits has found the box", || {
        let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
        // A connection to the shim that is up.
        let connected = |line: &&str| line.ends_with(&shim) && line.split_whitespace().nth(5) == Some("03");
        sockets.lines().find(connected).map(drop)
    });
    home.a3s(&["rename", "one", "two"]).run().ok();
    home.a3s(&["inspect", "one"]).run().refused(&["no such box"]);
    assert_eq!(home.a3s(&["restart", "two"]).run().ok(), "two");
    assert_eq!(waiting.wait().ok(), "5", "it waited for the first run");
    home.await_log("two", "up\nup\n");
    assert_eq!(home.exec("two", "wc -l < /runs"), "2");
    home.a3s(&["create", "--name", "three", "busybox"]).run().ok();
    home.a3s(&["rename", "three", "two"]).run().refused(&["two", "taken"]);
    home.a3s(&["stop", "two"]).run().ok();
    assert_eq!(home.a3s(&["wait", "two", "three"]).run().ok(), "5\n0");
}
