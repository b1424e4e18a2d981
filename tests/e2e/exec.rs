//! Further processes in a box: many at once, large amounts, slow readers, clients that vanish.

use crate::harness::{Home, eventually, private_memory};
use std::io::{Read, Write};

const MIB: u64 = 1 << 20;
/// What the shim and the guest init may each hold of memory for themselves.
const MOST: u64 = 32 * MIB;

/// 64 MiB that no shortcut could have made up.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(64 << 20);
    while bytes.len() < 64 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// All of the guest's anonymous memory: an upper bound of what its init holds.
fn guest_memory(home: &Home, name: &str) -> u64 {
    let kib = home.exec(name, "grep AnonPages /proc/meminfo | tr -dc 0-9");
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn sixty_four_mebibytes_go_through_cat_while_others_run() {
    let home = Home::new();
    home.idle("e");
    let noise = noise();
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..4)
            .map(|n| {
                let home = &home;
                scope.spawn(move || {
                    for round in 0..5 {
                        let text = format!("other {n} round {round}");
                        let out = home.a3s(&["exec", "-i", "e", "cat"]).stdin(text.clone()).run();
                        assert_eq!(out.ok(), text);
                    }
                })
            })
            .collect();
        let out = home.a3s(&["exec", "-i", "e", "cat"]).stdin(noise.clone()).run();
        assert_eq!(out.code, 0, "{}", out.stderr);
        assert!(out.stdout == noise, "{} bytes came back", out.stdout.len());
        for other in others {
            other.join().unwrap();
        }
    });
    let shim = private_memory(home.pid("e", "shim").unwrap()).unwrap();
    assert!(shim < MOST, "the shim holds {} MiB", shim / MIB);
}

#[test]
fn a_slow_reader_stops_the_writer() {
    let home = Home::new();
    home.idle("w");
    let script = "while head -c 65536 /dev/zero; do echo >> /tmp/blocks; done";
    let mut writer = home.a3s(&["exec", "w", "sh", "-c", script]).spawn();
    let written = || home.exec("w", "cat /tmp/blocks 2>/dev/null | wc -l").parse::<u64>().unwrap();
    // It gets as far as the buffers on the way hold, and no further.
    let mut last = 0;
    let stuck = eventually("a writer that waits", || {
        let now = written();
        let same = now > 0 && now == last;
        last = now;
        same.then_some(now)
    });
    assert!(stuck * 65536 < 16 * MIB, "{stuck} blocks were taken from the writer");
    assert!(guest_memory(&home, "w") < MOST);
    let shim = private_memory(home.pid("w", "shim").unwrap()).unwrap();
    assert!(shim < MOST, "the shim holds {} MiB", shim / MIB);
    // Once somebody reads, it goes on.
    let mut out = writer.stdout();
    std::io::copy(&mut (&mut out).take((stuck + 500) * 65536), &mut std::io::sink()).unwrap();
    assert!(written() >= stuck + 400);
}

#[test]
fn exit_codes_streams_users_and_folders_are_the_execs_own() {
    let home = Home::new();
    home.start("x", &["-e", "FROM=box", "-w", "/tmp"], "sleep 100000");
    let out = home.a3s(&["exec", "x", "sh", "-c", "echo out; echo err >&2; exit 9"]).run();
    assert_eq!((out.code, out.text().as_str(), out.stderr.as_str()), (9, "out\n", "err\n"));
    let out = home
        .a3s(&["exec", "-u", "app", "-w", "/etc", "-e", "B=2", "x", "sh", "-c", "id -un; pwd; echo $FROM $B"])
        .run();
    assert_eq!(out.ok(), "app\n/etc\nbox 2");
    assert_eq!(home.exec("x", "pwd"), "/tmp");
    assert_eq!(home.a3s(&["exec", "x", "nope"]).run().code, 127);
    assert_eq!(home.a3s(&["exec", "x", "/etc/passwd"]).run().code, 126);
    assert_eq!(home.a3s(&["exec", "x", "sh", "-c", "kill -9 $$"]).run().code, 137);
    let nobody = home.a3s(&["exec", "-u", "stranger", "x", "true"]).run();
    assert_eq!(nobody.code, 126);
    assert!(nobody.stderr.contains("stranger") && nobody.stderr.contains("/etc/passwd"), "{}", nobody.stderr);
    home.a3s(&["stop", "-t", "0", "x"]).run().ok();
    home.a3s(&["exec", "x", "true"]).run().refused(&["box x", "stopped", "a3s-box start x"]);
    home.a3s(&["exec", "nobody", "true"]).run().refused(&["no such box: nobody"]);
}

#[test]
fn an_exec_outlives_its_client_and_can_be_found_and_killed() {
    let home = Home::new();
    home.idle("v");
    let mut client = home.a3s(&["exec", "v", "sh", "-c", "while :; do echo tick; sleep 0.1; done"]).spawn();
    let mut first = [0; 5];
    client.stdout().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"tick\n");
    client.kill();
    let top = || home.a3s(&["top", "v"]).run().ok();
    let line =
        top().lines().find(|l| l.contains("echo tick")).unwrap_or_else(|| panic!("{}", top())).to_owned();
    // It runs on, though nobody takes what it writes.
    let pid = line.split_ascii_whitespace().next().unwrap().to_owned();
    home.exec("v", "sleep 1");
    assert!(top().contains("echo tick"), "{}", top());
    home.exec("v", &format!("kill {pid}"));
    eventually("an end of it", || (!top().contains("echo tick")).then_some(()));
}

#[test]
fn a_detached_exec_runs_on() {
    let home = Home::new();
    home.idle("d");
    home.a3s(&["exec", "-d", "d", "sh", "-c", "echo $$ > /tmp/pid; exec sleep 99999"]).run().ok();
    eventually("the detached process", || {
        home.a3s(&["top", "d"]).run().ok().contains("sleep 99999").then_some(())
    });
}

#[test]
fn a_grandchild_that_holds_the_pipes_does_not_hold_the_exec() {
    let home = Home::new();
    home.idle("g");
    let out = home.a3s(&["exec", "g", "sh", "-c", "sleep 4444 & echo started; exit 3"]).run();
    assert_eq!((out.code, out.text().as_str()), (3, "started\n"));
    assert!(home.a3s(&["top", "g"]).run().ok().contains("sleep 4444"));
    // As little does it hold the end of a box.
    let out = home.a3s(&["run", "--rm", "busybox", "sh", "-c", "sleep 4444 & echo started; exit 3"]).run();
    assert_eq!((out.code, out.text().as_str()), (3, "started\n"));
}

#[test]
fn input_that_ends_early_or_is_not_read_harms_nobody() {
    let home = Home::new();
    home.idle("i");
    let out = home.a3s(&["exec", "-i", "i", "head", "-c", "3"]).stdin(vec![b'a'; 4 << 20]).run();
    assert_eq!(out.ok(), "aaa");
    let out = home
        .a3s(&["exec", "-i", "i", "sh", "-c", "exec <&-; sleep 0.3; echo fine"])
        .stdin(vec![b'a'; 4 << 20])
        .run();
    assert_eq!(out.ok(), "fine");
    let mut waiting = home.a3s(&["exec", "-i", "i", "sh", "-c", "read line; echo got $line; cat"]).spawn();
    let mut input = waiting.stdin();
    input.write_all(b"one\n").unwrap();
    let mut output = waiting.stdout();
    let mut got = [0; 8];
    output.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"got one\n");
    drop(input);
    drop(output);
    assert_eq!(waiting.wait().code, 0);
}

#[test]
fn what_forks_execs_is_neither_seen_nor_reached_from_the_box() {
    let home = Home::new();
    home.idle("f");
    for _ in 0..2 {
        let seen = home.exec("f", "echo $$ /proc/[0-9]*");
        let (own, processes) = seen.split_once(' ').unwrap();
        assert_eq!(processes, format!("/proc/1 /proc/{own}"));
        // There is nobody else to kill.
        home.exec("f", "! kill -9 -1 2> /dev/null");
    }
}

#[test]
fn many_execs_run_at_once() {
    let home = Home::new();
    home.idle("m");
    std::thread::scope(|scope| {
        for n in 0..32 {
            let home = &home;
            scope.spawn(move || assert_eq!(home.exec("m", &format!("sleep 0.2; echo {n}")), n.to_string()));
        }
    });
}

#[test]
fn a_signal_does_not_wait_behind_input_that_is_not_read() {
    let home = Home::new();
    home.idle("s");
    let script = "trap 'echo caught; exit 9' INT; echo armed; while :; do sleep 0.1; done";
    let stuck = |args: &[&str]| {
        let mut client = home.a3s(args).spawn();
        let mut output = client.stdout();
        let mut armed = [0; 6];
        output.read_exact(&mut armed).unwrap();
        // More than all that lies on the way can hold; nobody reads it.
        let mut input = client.stdin();
        let feeding = std::thread::spawn(move || drop(input.write_all(&vec![b'x'; 8 << 20])));
        home.exec("s", "sleep 1");
        let pid = rustix::process::Pid::from_raw(client.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "caught\n");
        assert_eq!(client.wait().code, 9);
        feeding.join().unwrap();
    };
    stuck(&["exec", "-i", "s", "sh", "-c", script]);
    stuck(&["run", "--rm", "-i", "busybox", "sh", "-c", script]);
}
