//! Jobs: what `exec -d` leaves running, joined, read, signalled and waited for by later commands.

use crate::harness::{Home, eventually};
use std::io::Read;

fn job(home: &Home, name: &str, script: &str) -> String {
    home.a3s(&["exec", "-d", name, "sh", "-c", script]).run().ok()
}

#[test]
fn a_job_outlives_its_client_and_is_found_again() {
    let home = Home::new();
    home.idle("j");
    let id = home.inspect("j")["id"].as_str().unwrap().to_owned();
    let first =
        job(&home, "j", "echo out; echo err >&2; trap 'echo term; exit 7' TERM; while :; do sleep 0.1; done");
    assert_eq!(first, format!("{}%1", &id[..12]));
    let second = job(&home, "j", "exit 3");
    assert_eq!(second, format!("{}%2", &id[..12]));
    eventually("its output", || (home.a3s(&["logs", &first]).run().text() == "out\n").then_some(()));
    assert_eq!(home.a3s(&["logs", "j%1"]).run().stderr, "err\n", "a box's name does as well");
    assert_eq!(home.a3s(&["wait", &second]).run().ok(), "3");
    let jobs = home.a3s(&["jobs", "j"]).run().ok();
    let lines: Vec<_> = jobs.lines().collect();
    assert!(lines[1].starts_with(&first) && lines[1].ends_with("Running"), "{jobs}");
    assert!(lines[2].starts_with(&second) && lines[2].contains("Exited (3)"), "{jobs}");
    let json = home.a3s(&["jobs", "--format", "json", "j"]).run().ok();
    let view: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&view["number"], &view["exit"]["code"]), (&2.into(), &3.into()));

    let mut following = home.a3s(&["logs", "-f", &first]).spawn();
    let mut waiting = home.a3s(&["wait", &first]).spawn();
    let mut attached = home.a3s(&["attach", &first]).spawn();
    let mut out = [0; 4];
    following.stdout().read_exact(&mut out).unwrap();
    eventually("a signal", || (home.a3s(&["signal", &first]).run().code == 0).then_some(()));
    assert_eq!(waiting.wait().ok(), "7");
    let attached = attached.wait();
    assert_eq!(attached.code, 7, "{}", attached.stderr);
    following.wait();
    assert_eq!(home.a3s(&["logs", &first]).run().text(), "out\nterm\n");
    home.a3s(&["signal", &first]).run().refused(&["j", "ended with code 7", "a3s-box logs j%1"]);
    home.a3s(&["attach", &first]).run().refused(&["ended with code 7"]);
    home.a3s(&["logs", "j%9"]).run().refused(&["no such job j%9", "a3s-box jobs j"]);
    home.a3s(&["wait", "j%"]).run().refused(&["invalid job", "BOX%NUMBER"]);
    home.a3s(&["signal", "j"]).run().refused(&["j is no job", "a3s-box kill"]);
    let missing = home.a3s(&["exec", "-d", "j", "no-such-program"]).run();
    assert_eq!(missing.code, 127, "{}", missing.stderr);
}

#[test]
fn jobs_end_with_their_box_and_their_numbers_are_not_used_again() {
    let home = Home::new();
    home.idle("e");
    let first = job(&home, "e", "echo before; exec sleep 100000");
    eventually("its output", || (home.a3s(&["logs", &first]).run().text() == "before\n").then_some(()));
    let mut waiting = home.a3s(&["wait", &first]).spawn();
    home.a3s(&["stop", "-t", "0", "e"]).run().ok();
    assert_eq!(waiting.wait().ok(), "137");
    assert_eq!(home.a3s(&["logs", &first]).run().ok(), "before");
    home.a3s(&["start", "e"]).run().ok();
    assert!(home.a3s(&["jobs", "e"]).run().ok().contains("Exited (137)"));
    assert!(job(&home, "e", "sleep 100000").ends_with("%2"));
    // Whatever ends the shim, the job has an end.
    let shim = rustix::process::Pid::from_raw(home.pid("e", "shim").unwrap()).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    eventually("an end of the box", || (home.state("e").as_deref() == Some("stopped")).then_some(()));
    assert_eq!(home.a3s(&["wait", "e%2"]).run().ok(), "137");
    home.a3s(&["exec", "-d", "e", "true"]).run().refused(&["box e", "stopped"]);
}

#[test]
fn what_a_job_writes_is_kept_in_bounds() {
    let home = Home::new();
    home.idle("b");
    let loud = job(&home, "b", "seq 1000000; echo end");
    assert_eq!(home.a3s(&["wait", &loud]).run().ok(), "0");
    let id = home.inspect("b")["id"].as_str().unwrap().to_owned();
    let folder = home.path().join("boxes").join(id);
    let size = |name: &str| std::fs::metadata(folder.join(name)).unwrap().len();
    assert!(size("job.1.jsonl") + size("job.1.1.jsonl") <= 2 << 20);
    assert_eq!(home.a3s(&["logs", "--tail", "2", &loud]).run().ok(), "1000000\nend");
}

#[test]
fn a_job_with_a_terminal_is_typed_at() {
    use crate::harness::pty::Terminal;
    let home = Home::new();
    home.idle("t");
    let shell = home.a3s(&["exec", "-d", "-it", "-e", "PS1=ready> ", "t", "sh"]).run().ok();
    let mut terminal = Terminal::run(home.a3s(&["attach", &shell]), 24, 80);
    terminal.type_in("echo one$((1 + 1))\r");
    terminal.expect("one2");
    terminal.type_in("\x10\x11");
    terminal.expect("read escape sequence");
    assert_eq!(terminal.wait(), 0);
    let mut terminal = Terminal::run(home.a3s(&["attach", "--detach-keys", "ctrl-x", "t%1"]), 24, 80);
    terminal.type_in("echo again$((1 + 1))\r");
    terminal.expect("again2");
    terminal.type_in("\x18");
    assert_eq!(terminal.wait(), 0);
    home.a3s(&["signal", "-s", "KILL", &shell]).run().ok();
    assert_eq!(home.a3s(&["wait", &shell]).run().ok(), "137");
}
