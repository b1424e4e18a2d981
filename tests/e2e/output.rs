//! What a box writes, and how it ends: streams, exit codes, errors.

use crate::harness::Home;

#[test]
fn both_streams_and_the_exit_code_arrive() {
    let home = Home::new();
    let out = home.a3s(&["run", "--rm", "busybox", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).run();
    assert_eq!((out.code, out.text().as_str(), out.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "", "--rm removes the box");
}

#[test]
fn a_death_by_signal_is_128_and_the_signal() {
    let home = Home::new();
    // PID 1 of a box is safe from signals that it has no handler for, so a child of it dies.
    let out = home.a3s(&["run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"]).run();
    assert_eq!(out.code, 139, "{}", out.stderr);
    let run = home.a3s(&["run", "-d", "--name", "x", "busybox", "sleep", "1000"]).run();
    run.ok();
    home.a3s(&["kill", "x"]).run().ok();
    let view = home.inspect("x");
    assert_eq!((&view["state"], &view["run"]["exit"]["code"]), (&"stopped".into(), &137.into()));
    assert_eq!(view["run"]["exit"]["reason"], "killed");
}

#[test]
fn what_cannot_run_is_127_or_126_and_ours_is_125() {
    let home = Home::new();
    let missing = home.a3s(&["run", "--rm", "busybox", "no-such-program"]).run();
    assert_eq!(missing.code, 127, "{}", missing.stderr);
    assert!(missing.stderr.contains("no-such-program"), "{}", missing.stderr);
    let missing = home.a3s(&["run", "--rm", "busybox", "/no/such/program"]).run();
    assert_eq!(missing.code, 127, "{}", missing.stderr);
    let denied = home.a3s(&["run", "--rm", "busybox", "/etc/passwd"]).run();
    assert_eq!(denied.code, 126, "{}", denied.stderr);
    assert!(denied.stderr.contains("/etc/passwd"), "{}", denied.stderr);
    let folder = home.a3s(&["run", "--rm", "busybox", "/etc"]).run();
    assert_eq!(folder.code, 126, "{}", folder.stderr);
    assert_eq!(home.a3s(&["run", "--no-such-option", "busybox"]).run().code, 125);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "", "nothing half-made is left");
}

#[test]
fn standard_input_reaches_the_box_and_ends_there() {
    let home = Home::new();
    let out = home
        .a3s(&["run", "--rm", "-i", "busybox", "sh", "-c", "wc -c; echo done"])
        .stdin(vec![b'x'; 300_000])
        .run();
    assert_eq!(out.ok(), "300000\ndone");
    // Without -i there is nothing to read.
    let out = home.a3s(&["run", "--rm", "busybox", "wc", "-c"]).stdin("unread").run();
    assert_eq!(out.ok(), "0");
}

#[test]
fn a_lot_of_output_arrives_whole_and_in_order() {
    let home = Home::new();
    let out = home.a3s(&["run", "--rm", "busybox", "seq", "1000000"]).run();
    assert_eq!(out.code, 0, "{}", out.stderr);
    let expected: String = (1..=1_000_000).map(|n| format!("{n}\n")).collect();
    assert!(out.stdout == expected.as_bytes());
}

#[test]
fn output_can_be_opened_again_by_name_whoever_the_user_is() {
    let home = Home::new();
    let script = "echo one > /dev/stdout; echo two > /proc/self/fd/2; echo three > /dev/stderr";
    let out = home.a3s(&["run", "--rm", "-u", "app", "busybox", "sh", "-c", script]).run();
    assert_eq!((out.ok().as_str(), out.stderr.as_str()), ("one", "two\nthree\n"));
}

#[test]
fn logs_are_of_a_time_and_kept_short() {
    let home = Home::new();
    home.start("l", &[], "echo one; echo two >&2; sleep 2; echo -n thr; sleep 0.1; echo ee; sleep 1000");
    home.await_log("l", "three");
    let logs = |args: &[&str]| home.a3s(&[&["logs"], args, &["l"]].concat()).run();
    let all = logs(&[]);
    assert_eq!((all.text().as_str(), all.stderr.as_str()), ("one\nthree\n", "two\n"));
    let stamped = logs(&["--timestamps"]);
    let lines: Vec<_> = stamped.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (time, text) = lines[1].split_once(' ').unwrap();
    assert_eq!((time.len(), &time[29..], text), (30, "Z", "three"));
    assert_eq!(logs(&["--since", time]).ok(), "three");
    assert_eq!(logs(&["--until", time, "--tail", "1"]).text(), "thr");
    assert_eq!(logs(&["--since", "1h"]).ok(), "one\nthree");
    assert_eq!(logs(&["--until", "1h"]).ok(), "");
    assert_eq!(logs(&["-n", "1"]).ok(), "three");
    // Until a time that is to come, with -f, ends then.
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64().to_string();
    assert_eq!(logs(&["-f", "--until", &soon]).ok(), "one\nthree");
    logs(&["--since", "yesterday"]).refused(&["yesterday", "point in time"]);

    let options = ["--log-opt", "max-size=64k", "--log-opt", "max-file=3"];
    home.start("r", &options, "seq 100000; echo end; sleep 1000");
    home.await_log("r", "end");
    let id = home.inspect("r")["id"].as_str().unwrap().to_owned();
    let folder = home.path().join("boxes").join(id);
    let names = ["log.jsonl", "log.1.jsonl", "log.2.jsonl", "log.3.jsonl"];
    let sizes = names.map(|name| std::fs::metadata(folder.join(name)).map(|data| data.len()).ok());
    assert!(sizes[..3].iter().all(|size| size.is_some_and(|size| size <= 64 << 10)), "{sizes:?}");
    assert_eq!(sizes[3], None);
    let tail = home.a3s(&["logs", "--tail", "3", "r"]).run().ok();
    assert_eq!(tail, "99999\n100000\nend");
    assert!(std::fs::read_to_string(folder.join("console.log")).is_ok_and(|text| !text.contains("99999")));
    home.a3s(&["create", "--log-opt", "max-size=1", "busybox"]).run().refused(&["log size 1B", "4KiB"]);
    home.a3s(&["create", "--log-opt", "colour=red", "busybox"]).run().refused(&["colour=red", "max-file"]);
}
