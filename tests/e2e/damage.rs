//! Every file of the state directory damaged in turn, and moments that cannot be: each command answers, by itself and
//! soon, and what is refused is left as it is.

use crate::harness::Home;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// Commands that look at all there is.
const LOOKS: &[&[&str]] = &[
    &["ps", "-a", "-s"],
    &["ps", "-a", "--format", "json"],
    &["inspect", "made"],
    &["inspect", "ended"],
    &["logs", "-t", "ended"],
    &["port", "made"],
    &["images"],
    &["volume", "ls"],
    &["network", "ls"],
    &["df"],
    &["info"],
    &["doctor"],
    &["events", "--until", "0s"],
    &["net", "log", "ended"],
];

/// Fails if a command crashes, or fails without saying why.
#[track_caller]
fn look(home: &Home, why: &str) {
    for args in LOOKS {
        let out = home.a3s(args).run();
        assert!([0, 1, 125].contains(&out.code), "{why}: {args:?} ended with {}: {}", out.code, out.stderr);
        assert!(!out.stderr.contains("panicked"), "{why}: {args:?}: {}", out.stderr);
        assert!(out.code != 125 || out.stderr.starts_with("error: "), "{why}: {args:?}: {}", out.stderr);
    }
}

/// A home with one of everything, and the files of it that hold facts.
fn furnished() -> (Home, Vec<PathBuf>) {
    let home = Home::new();
    home.a3s(&["network", "create", "net"]).run().ok();
    home.a3s(&["create", "--name", "made", "-v", "vol:/v", "-p", "0:80", "busybox"]).run().ok();
    home.a3s(&["run", "--name", "ended", "--network", "net", "busybox", "echo", "said"]).run().ok();
    home.await_quiet();
    fs::write(home.path().join("config.toml"), "[net]\n").unwrap();
    let ended = home.path().join("boxes").join(home.inspect("ended")["id"].as_str().unwrap());
    let mut files: Vec<PathBuf> =
        ["boxes.json", "events.jsonl", "host.json", "config.toml", "images/index.json"]
            .into_iter()
            .chain(["volumes/vol/volume.json", "networks/net.json", "networks/net/ended.json"])
            .map(|name| home.path().join(name))
            .collect();
    files.extend(
        ["status.json", "spec.json", "log.jsonl", "ports.json", "net.jsonl"].map(|name| ended.join(name)),
    );
    files.retain(|file| file.exists());
    assert!(files.len() > 9, "{files:?}");
    (home, files)
}

#[test]
fn no_damaged_file_brings_a_command_down() {
    let (home, files) = furnished();
    for file in &files {
        let whole = fs::read(file).unwrap();
        let half = whole[..whole.len() / 2].to_vec();
        let newer = br#"{"schema":99,"version":99,"boxes":{}}"#.to_vec();
        let deep = "[".repeat(100_000).into_bytes();
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("half", half),
            ("noise", vec![0xff; 4096]),
            ("newer", newer),
            ("deep", deep),
            ("null", b"null".to_vec()),
        ] {
            fs::write(file, &bytes).unwrap();
            look(&home, &format!("{} is {what}", file.display()));
            // Whoever was refused has not written over it.
            if file.ends_with("boxes.json") {
                home.a3s(&["create", "busybox"]).run().refused(&["boxes.json"]);
                home.a3s(&["rm", "-f", "made"]).run().refused(&["boxes.json"]);
                home.a3s(&["doctor", "--repair"]).run();
                assert_eq!(fs::read(file).unwrap(), bytes, "{what}");
                assert!(home.path().join("volumes/vol/data.ext4").exists());
            }
        }
        fs::write(file, &whole).unwrap();
    }
    look(&home, "all is whole again");
    home.a3s(&["start", "-a", "ended"]).run().ok();
    assert_eq!(home.a3s(&["rm", "-f", "made", "ended"]).run().ok(), "made\nended");
}

/// Puts `moment` in place of every moment in `value`.
fn set_moments(value: &mut Value, moment: u64) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if ["created_at", "started_at", "restart_at", "at", "time"].contains(&key.as_str())
                    && value.is_u64()
                {
                    *value = json!(moment);
                } else {
                    set_moments(value, moment);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| set_moments(value, moment)),
        Value::Number(number) if number.as_u64().is_some_and(|n| n > 1_000_000_000_000_000) => {
            *value = json!(moment)
        }
        _ => {}
    }
}

#[test]
fn a_clock_that_jumped_makes_no_command_lie_or_fail() {
    let (home, files) = furnished();
    home.idle("runs");
    let runs = home.path().join("boxes").join(home.inspect("runs")["id"].as_str().unwrap());
    let year = 365 * 86_400 * 1_000_000;
    let now = u64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros(),
    )
    .unwrap();
    let files: Vec<PathBuf> = files.into_iter().chain([runs.join("status.json")]).collect();
    let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for moment in [0, 1, now + 3_600_000_000, now + 50 * year, u64::MAX] {
        for (file, bytes) in files.iter().zip(&before) {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<String> = text
                .lines()
                .map(|line| match serde_json::from_str::<Value>(line) {
                    Ok(mut value) => {
                        set_moments(&mut value, moment);
                        value.to_string()
                    }
                    Err(_) => line.to_owned(),
                })
                .collect();
            fs::write(file, lines.join("\n")).unwrap();
        }
        look(&home, &format!("moments are {moment}"));
        assert_eq!(home.state("runs").as_deref(), Some("running"), "{moment}");
        assert_eq!(home.state("ended").as_deref(), Some("stopped"), "{moment}");
        let table = home.a3s(&["ps", "-a"]).run().ok();
        assert_eq!(table.lines().count(), 4, "{table}");
        if moment > now {
            // What is to come is no long time ago.
            assert!(table.contains("Less than a second ago"), "{table}");
            let kept = home.a3s(&["prune", "-f", "--filter", "until=1h"]).run().ok();
            assert_eq!(kept, "Total reclaimed space: 0B", "{moment}");
        }
        assert_eq!(home.exec("runs", "echo here"), "here");
    }
    home.a3s(&["stop", "-t", "0", "runs"]).run().ok();
    assert_eq!(home.state("runs").as_deref(), Some("stopped"));
    home.a3s(&["start", "runs", "ended"]).run().ok();
}
