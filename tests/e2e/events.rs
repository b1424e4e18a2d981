//! What happens to boxes, as `events` tells it, and the programs that are told of it.

use crate::harness::{Home, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

fn events(home: &Home, filters: &[&str]) -> Vec<String> {
    let mut args = vec!["events", "--since", "1h", "--until", "0s", "--format", "{{.name}} {{.event}}"];
    args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
    home.a3s(&args).run().ok().lines().map(str::to_owned).collect()
}

#[test]
fn a_life_is_told_from_its_begin_to_its_end() {
    let home = Home::new();
    let mut following = home.a3s(&["events", "--format", "json"]).spawn();
    let mut lines = BufReader::new(following.stdout()).lines();
    home.start(
        "e",
        &["-l", "tier=web", "--health-cmd", "true", "--health-interval", "100ms"],
        "trap 'exit 9' TERM; while :; do sleep 0.1; done",
    );
    eventually("health", || (home.inspect("e")["run"]["health"]["state"] == "healthy").then_some(()));
    home.a3s(&["pause", "e"]).run().ok();
    home.a3s(&["unpause", "e"]).run().ok();
    home.a3s(&["rename", "e", "f"]).run().ok();
    home.a3s(&["update", "--restart", "on-failure", "f"]).run().ok();
    home.a3s(&["kill", "-s", "TERM", "f"]).run().ok();
    eventually("its end", || (home.state("f").as_deref() == Some("stopped")).then_some(()));
    home.a3s(&["rm", "f"]).run().ok();
    let told = [
        "e created",
        "e started",
        "e ready",
        "e health",
        "e paused",
        "e unpaused",
        "f renamed",
        "f updated",
        "f killed",
        "f died",
        "f stopped",
        "f removed",
    ];
    assert_eq!(events(&home, &[]), told);
    // Who was there when it happened has heard the same.
    for told in told {
        let event: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(format!("{} {}", event["name"].as_str().unwrap(), event["event"].as_str().unwrap()), told);
        assert_eq!((&event["image"], &event["labels"]["tier"]), (&"busybox".into(), &"web".into()));
    }
    assert_eq!(events(&home, &["event=die", "event=created"]), ["e created", "f died"]);
    assert_eq!(events(&home, &["container=e", "event=pause"]), ["e paused"]);
    assert!(events(&home, &["label=tier=db"]).is_empty() && events(&home, &["image=nobodys"]).is_empty());
    let died = home.a3s(&["events", "--since", "1h", "--until", "0s", "-f", "event=died"]).run().ok();
    assert!(died.contains(" box died ") && died.contains("exit_code=9, reason=killed"), "{died}");
    home.a3s(&["events", "--since", "yesterday"]).run().refused(&["yesterday", "--since", "10m"]);
    home.a3s(&["events", "-f", "event=explode"]).run().refused(&["explode", "created started"]);
}

#[test]
fn an_end_that_no_shim_could_tell_is_told_once() {
    let home = Home::new();
    home.idle("k");
    let shim = rustix::process::Pid::from_raw(home.pid("k", "shim").unwrap()).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    eventually("its end", || (home.state("k").as_deref() == Some("stopped")).then_some(()));
    assert_eq!(home.inspect("k")["run"]["exit"]["reason"], "shim-killed");
    home.a3s(&["start", "k"]).run().ok();
    home.a3s(&["rm", "-f", "k"]).run().ok();
    home.await_quiet();
    let told = events(&home, &["event=died"]);
    assert_eq!(told.len(), 2, "{told:?}");
}

/// A program that notes what it is told, and then does what `then` says.
fn program(home: &Home, name: &str, then: &str) -> String {
    let file = home.path().join(name);
    let script = format!(
        "#!/bin/sh\necho $A3S_BOX_EVENT $A3S_BOX_NAME >> {0}.log\nread json; echo \"$json\" | grep -q '\"event\"' || exit 9\n{then}\n",
        file.display()
    );
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

fn configure(home: &Home, hook: &str) {
    std::fs::write(home.path().join("config.toml"), hook).unwrap();
}

#[test]
fn hooks_are_told_and_may_refuse() {
    let home = Home::new();
    let notes = program(&home, "notes", "exit 1");
    let all = r#"["created", "started", "ready", "stopped", "removed"]"#;
    configure(&home, &format!("[[hook]]\non = {all}\nrun = ['{notes}']\n"));
    home.idle("h");
    home.a3s(&["stop", "-t", "0", "h"]).run().ok();
    home.a3s(&["rm", "h"]).run().ok();
    let told = eventually("all of it", || {
        let told = std::fs::read_to_string(format!("{notes}.log")).unwrap();
        (told.lines().count() == 5).then_some(told)
    });
    // A hook that fails and is not required stops nobody.
    assert_eq!(told, "created h\nstarted h\nready h\nstopped h\nremoved h\n");

    let guard = program(&home, "guard", "echo not today >&2; exit 1");
    configure(&home, &format!("[[hook]]\non = ['created']\nrun = ['{guard}']\nrequired = true\n"));
    home.a3s(&["create", "--name", "x", "busybox"]).run().refused(&["not created", "guard", "not today"]);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
    for point in ["started", "ready"] {
        configure(&home, &format!("[[hook]]\non = ['{point}']\nrun = ['{guard}']\nrequired = true\n"));
        home.a3s(&["run", "--rm", "busybox", "true"]).run().refused(&["guard", "not today"]);
    }
    let slow = program(&home, "slow", "sleep 1000");
    configure(
        &home,
        &format!("[[hook]]\non = ['started']\nrun = ['{slow}']\nrequired = true\ntimeout = '1s'\n"),
    );
    home.a3s(&["run", "--rm", "busybox", "true"]).run().refused(&["within 1000 ms"]);
    for (nonsense, word) in [
        ("on = []\nrun = ['/bin/true']", "no event"),
        ("on = ['created']\nrun = ['true']", "absolute"),
        ("on = ['created']", "run or url"),
        ("on = ['created']\nurl = 'ftp://x'", "http"),
        ("on = ['stopped']\nrun = ['/bin/true']\nrequired = true", "happened"),
        ("on = ['created']\nrun = ['/bin/true']\ntimeout = '90m'", "60s"),
        ("on = ['exploded']\nrun = ['/bin/true']", "exploded"),
    ] {
        configure(&home, &format!("[[hook]]\n{nonsense}\n"));
        home.a3s(&["create", "busybox"]).run().refused(&[word]);
    }
    std::fs::remove_file(home.path().join("config.toml")).unwrap();
}

#[test]
fn a_hook_may_be_a_web_address() {
    let home = Home::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/events", server.local_addr().unwrap());
    configure(&home, &format!("[[hook]]\non = ['ready']\nurl = '{url}'\nrequired = true\n"));
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut length = 0;
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").unwrap();
        (first, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    });
    home.a3s(&["run", "--name", "w", "busybox", "true"]).run().ok();
    let (first, event) = serving.join().unwrap();
    assert!(first.starts_with("POST /events "), "{first}");
    assert_eq!((&event["event"], &event["name"]), (&"ready".into(), &"w".into()));
    // Nobody is there any more.
    home.a3s(&["start", "-a", "w"]).run().refused(&["hook", "nobody took the event"]);
    std::fs::remove_file(home.path().join("config.toml")).unwrap();
}
