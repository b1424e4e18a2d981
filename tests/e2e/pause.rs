//! A box that stands still, and goes on.

use crate::harness::{Home, eventually};
use std::time::{SystemTime, UNIX_EPOCH};

fn host_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_paused_box_does_nothing_until_it_goes_on() {
    let home = Home::new();
    home.start("p", &["-i"], "while :; do echo tick >> /ticks; echo tick; sleep 0.05; done");
    home.await_log("p", "tick");
    home.a3s(&["unpause", "p"]).run().refused(&["p", "not paused"]);
    assert_eq!(home.a3s(&["pause", "p"]).run().ok(), "p");
    assert_eq!(home.state("p").unwrap(), "paused");
    let line = home.a3s(&["ps", "--format", "{{.Names}}: {{.Status}}"]).run().ok();
    assert!(line.starts_with("p: Up ") && line.ends_with(" (Paused)"), "{line}");
    home.a3s(&["pause", "p"]).run().refused(&["p", "paused already"]);
    for refused in [&["exec", "p", "true"][..], &["attach", "p"], &["top", "p"]] {
        home.a3s(refused).run().refused(&["p is paused", "a3s-box unpause p"]);
    }
    home.a3s(&["kill", "-s", "USR1", "p"]).run().refused(&["paused"]);
    home.a3s(&["rm", "p"]).run().refused(&["p is paused"]);
    assert_eq!(home.a3s(&["unpause", "p"]).run().ok(), "p");
    let before: u32 = home.exec("p", "wc -l < /ticks").parse().unwrap();
    eventually("further ticks", || {
        (home.exec("p", "wc -l < /ticks").parse::<u32>().unwrap() > before).then_some(())
    });
    home.a3s(&["pause", "nobody"]).run().refused(&["no such box"]);
    home.a3s(&["stop", "-t", "1", "p"]).run().ok();
    home.a3s(&["pause", "p"]).run().refused(&["p is stopped"]);
}

#[test]
fn a_paused_box_can_be_ended() {
    let home = Home::new();
    home.start("s", &[], "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done");
    home.await_log("s", "up");
    home.a3s(&["pause", "s"]).run().ok();
    home.a3s(&["stop", "s"]).run().ok();
    let exit = home.inspect("s")["run"]["exit"].clone();
    assert_eq!((&exit["code"], &exit["reason"]), (&6.into(), &"stopped".into()));
    home.idle("k");
    home.a3s(&["pause", "k"]).run().ok();
    let mut waiting = home.a3s(&["wait", "k"]).spawn();
    home.a3s(&["kill", "k"]).run().ok();
    assert_eq!(waiting.wait().ok(), "137");
    home.idle("r");
    home.a3s(&["pause", "r"]).run().ok();
    home.a3s(&["restart", "-t", "0", "r"]).run().ok();
    assert_eq!(home.exec("r", "echo on"), "on");
    home.a3s(&["pause", "r"]).run().ok();
    home.a3s(&["rm", "-f", "r"]).run().ok();
    home.await_quiet();
}

#[test]
fn a_paused_box_is_not_ill() {
    let home = Home::new();
    let check = [
        "--health-cmd",
        "true",
        "--health-interval",
        "100ms",
        "--health-timeout",
        "300ms",
        "--health-retries",
        "1",
    ];
    home.start("h", &check, "sleep 100000");
    let health = |state: &str| (home.inspect("h")["run"]["health"]["state"] == state).then_some(());
    eventually("health", || health("healthy"));
    home.a3s(&["pause", "h"]).run().ok();
    // Three of its checks would have failed by the end of this command of another box's.
    home.a3s(&["run", "--rm", "busybox", "sleep", "1.5"]).run().ok();
    assert!(health("healthy").is_some());
    home.a3s(&["unpause", "h"]).run().ok();
    let log = home.inspect("h")["run"]["health"]["log"].clone();
    eventually("a check after the pause", || {
        (home.inspect("h")["run"]["health"]["log"] != log).then_some(())
    });
    assert!(health("healthy").is_some(), "{}", home.inspect("h")["run"]["health"]);
}

#[test]
fn a_clock_that_stood_still_is_put_right() {
    let home = Home::new();
    home.idle("c");
    let uptime = || home.exec("c", "cut -d' ' -f1 /proc/uptime").parse::<f64>().unwrap();
    let before = uptime();
    home.a3s(&["pause", "c"]).run().ok();
    // Another box takes its time meanwhile.
    home.a3s(&["run", "--rm", "busybox", "sleep", "4"]).run().ok();
    home.a3s(&["unpause", "c"]).run().ok();
    // Software emulation stops the guest's clocks with the guest; it is told at once what time it is.
    eventually("the right time", || {
        let begin = host_seconds().floor();
        let guest: f64 = home.exec("c", "date +%s").parse().unwrap();
        (begin..=host_seconds()).contains(&guest).then_some(())
    });
    assert!(uptime() >= before, "the other clock went back");
}
