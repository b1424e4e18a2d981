//! What follows the end of a box, and when one has to end: restart policies, limits of time, the host's own restart.

use crate::harness::{Home, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::time::{Duration, Instant};

fn await_state(home: &Home, name: &str, state: &str) {
    eventually(state, || (home.state(name).as_deref() == Some(state)).then_some(()));
}

fn exit(home: &Home, name: &str) -> (i64, String) {
    let exit = home.inspect(name)["run"]["exit"].clone();
    (exit["code"].as_i64().unwrap(), exit["reason"].as_str().unwrap().to_owned())
}

fn restarts(home: &Home, name: &str) -> u64 {
    home.a3s(&["inspect", "-f", "{{.RestartCount}}", name]).run().ok().parse().unwrap()
}

#[test]
fn a_box_that_fails_is_started_again_as_often_as_it_may() {
    let home = Home::new();
    home.start("f", &["--restart", "on-failure:2"], "echo again >> /log; wc -l < /log; exit 3");
    await_state(&home, "f", "stopped");
    assert_eq!(home.a3s(&["logs", "f"]).run().ok(), "1\n2\n3");
    assert_eq!((restarts(&home, "f"), exit(&home, "f")), (2, (3, "exited".into())));
    // One that succeeds is done, and one that somebody starts begins anew.
    home.start("s", &["--restart", "on-failure"], "test -e /done || { touch /done; exit 1; }");
    await_state(&home, "s", "stopped");
    assert_eq!((restarts(&home, "s"), exit(&home, "s")), (1, (0, "exited".into())));
    home.a3s(&["start", "f"]).run().ok();
    await_state(&home, "f", "stopped");
    assert_eq!(restarts(&home, "f"), 2);
    home.a3s(&["create", "--rm", "--restart", "always", "busybox"]).run().refused(&["--rm", "always"]);
    home.a3s(&["create", "--restart", "sometimes", "busybox"]).run().refused(&[
        "sometimes",
        "--restart",
        "unless-stopped",
    ]);
}

#[test]
fn a_box_that_always_runs_ends_when_it_is_told_to() {
    let home = Home::new();
    home.start("a", &["--restart", "always"], "echo up; sleep 0.3");
    eventually("a second run", || (restarts(&home, "a") >= 1).then_some(()));
    // Between two runs it is in neither, and has an end.
    await_state(&home, "a", "restarting");
    home.a3s(&["exec", "a", "true"]).run();
    let last =
        home.a3s(&["ps", "--filter", "status=restarting", "--format", "{{.Names}} {{.Status}}"]).run().ok();
    assert!(last.is_empty() || last.starts_with("a Restarting (0)"), "{last}");
    home.a3s(&["stop", "a"]).run().ok();
    assert_eq!(home.state("a").unwrap(), "stopped");
    assert_eq!(exit(&home, "a").1, "stopped");
    home.await_quiet();

    // A crash of the VMM is no end that anybody asked for, and a signal is.
    home.start("b", &["--restart", "unless-stopped"], "sleep 100000");
    kill_process(Pid::from_raw(home.pid("b", "vmm").unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually("a run after the crash", || {
        (restarts(&home, "b") == 1 && home.state("b").as_deref() == Some("running")).then_some(())
    });
    assert_eq!(home.exec("b", "echo alive"), "alive");
    home.a3s(&["kill", "b"]).run().ok();
    assert_eq!((home.state("b").unwrap(), exit(&home, "b").1), ("stopped".into(), "killed".into()));
    // The policy may change while it runs.
    home.start("c", &["--restart", "always"], "mkfifo /tmp/f; read x < /tmp/f");
    home.a3s(&["update", "--restart", "no", "c"]).run().ok();
    // The box may end before this does, and it with the box.
    home.a3s(&["exec", "c", "sh", "-c", "until [ -p /tmp/f ]; do sleep 0.05; done; echo > /tmp/f"]).run();
    await_state(&home, "c", "stopped");
    assert_eq!(restarts(&home, "c"), 0);
}

#[test]
fn a_box_between_two_runs_leaves_nothing_when_its_shim_is_killed() {
    let home = Home::new();
    home.start("r", &["--restart", "always"], "exit 5");
    // After some runs the pause is long enough to hit.
    eventually("a long pause", || (restarts(&home, "r") >= 4).then_some(()));
    await_state(&home, "r", "restarting");
    kill_process(Pid::from_raw(home.pid("r", "shim").unwrap()).unwrap(), Signal::KILL).unwrap();
    await_state(&home, "r", "stopped");
    home.await_quiet();
    home.a3s(&["rm", "r"]).run().ok();
    home.start("again", &["--restart", "always"], "exit 5");
    await_state(&home, "again", "restarting");
    home.a3s(&["rm", "-f", "again"]).run().ok();
    home.await_quiet();
}

#[test]
fn a_box_ends_when_its_time_is_over() {
    let home = Home::new();
    let begin = Instant::now();
    let out = home
        .a3s(&["run", "--name", "t", "--timeout", "1", "busybox", "sh", "-c"])
        .arg("trap 'echo over; exit 7' TERM; echo up; while :; do sleep 0.1; done")
        .run();
    assert_eq!((out.code, out.text().as_str()), (7, "up\nover\n"), "{}", out.stderr);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(exit(&home, "t"), (7, "timeout".into()));
    // Not even a policy goes on then, nor a pause.
    home.start("p", &["--timeout", "2", "--restart", "always"], "sleep 100000");
    home.a3s(&["pause", "p"]).run().ok();
    await_state(&home, "p", "stopped");
    assert_eq!(exit(&home, "p").1, "timeout");
    home.a3s(&["create", "--timeout", "0", "busybox"]).run().refused(&["timeout 0"]);
}

#[test]
fn a_box_that_nobody_uses_ends() {
    let home = Home::new();
    home.start("i", &["--idle-timeout", "2"], "sleep 100000");
    // Whoever works in it keeps it.
    let begin = Instant::now();
    home.exec("i", "sleep 4");
    assert_eq!(home.state("i").unwrap(), "running");
    await_state(&home, "i", "stopped");
    assert!(begin.elapsed() >= Duration::from_secs(6));
    assert_eq!(exit(&home, "i").1, "idle-timeout");
    // So does what it writes itself.
    let script = "for i in 1 2 3 4 5 6; do sleep 0.5; echo $i; done; exec sleep 100000";
    home.start("o", &["--idle-timeout", "2"], script);
    home.await_log("o", "6\n");
    await_state(&home, "o", "stopped");
    assert_eq!(exit(&home, "o").1, "idle-timeout");
}

#[test]
fn a_guest_out_of_memory_says_so() {
    let home = Home::new();
    let out = home.a3s(&["run", "--name", "o", "--memory", "96m", "busybox", "tail", "/dev/zero"]).run();
    assert_eq!(out.code, 137, "{}", out.stderr);
    assert_eq!(exit(&home, "o"), (137, "oom".into()));
    let state = home.a3s(&["inspect", "-f", "{{.State.OOMKilled}} {{.State.Reason}}", "o"]).run().ok();
    assert_eq!(state, "true oom");
    // That code alone does not say so.
    let killed = home.a3s(&["run", "--name", "x", "busybox", "sh", "-c", "exit 137"]).run();
    assert_eq!((killed.code, exit(&home, "x").1), (137, "exited".into()));
}

/// Makes the last run of a box one of another boot of the host, and its shim a thing of the past.
fn restart_host(home: &Home, name: &str) {
    kill_process(Pid::from_raw(home.pid(name, "shim").unwrap()).unwrap(), Signal::KILL).unwrap();
    await_state(home, name, "stopped");
    home.await_quiet();
    let id = home.inspect(name)["id"].as_str().unwrap().to_owned();
    let file = home.path().join("boxes").join(id).join("status.json");
    let mut status: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    status["boot"] = "another boot".into();
    std::fs::write(&file, serde_json::to_vec(&status).unwrap()).unwrap();
}

#[test]
fn what_is_to_run_runs_again_when_the_host_has_started() {
    let home = Home::new();
    for (name, policy) in
        [("never", "no"), ("always", "always"), ("unless", "unless-stopped"), ("failed", "on-failure")]
    {
        home.start(name, &["--restart", policy], "sleep 100000");
        restart_host(&home, name);
        assert_eq!(exit(&home, name), (137, "host-restarted".into()));
    }
    home.start("ended", &["--restart", "unless-stopped"], "sleep 100000");
    home.a3s(&["stop", "ended"]).run().ok();
    home.a3s(&["create", "--restart", "always", "--name", "fresh", "busybox"]).run().ok();
    assert_eq!(home.a3s(&["boot"]).run().ok(), "always\nunless\nfailed");
    for (name, state) in [
        ("never", "stopped"),
        ("always", "running"),
        ("failed", "running"),
        ("ended", "stopped"),
        ("fresh", "created"),
    ] {
        assert_eq!(home.state(name).unwrap(), state, "{name}");
    }
    assert_eq!(home.a3s(&["boot"]).run().ok(), "", "all run");

    // A host that goes down ends them, and that is not a user's doing.
    let down = home.a3s(&["boot", "--down"]).run().ok();
    assert_eq!(down.lines().count(), 3, "{down}");
    home.await_quiet();
    assert_eq!(exit(&home, "unless").1, "host-stopped");
    assert_eq!(home.a3s(&["boot"]).run().ok(), "always\nunless\nfailed");
    // SIGTERM to a shim is the same thing.
    kill_process(Pid::from_raw(home.pid("unless", "shim").unwrap()).unwrap(), Signal::TERM).unwrap();
    await_state(&home, "unless", "stopped");
    assert_eq!(exit(&home, "unless").1, "host-stopped");
}
