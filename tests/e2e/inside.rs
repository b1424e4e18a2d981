//! What a user asks of the inside of a box, seen from inside.

use crate::harness::Home;

/// What `run --rm OPTIONS busybox sh -c SCRIPT` prints.
#[track_caller]
fn run(home: &Home, options: &[&str], script: &str) -> String {
    let mut args = vec!["run", "--rm"];
    args.extend(options);
    args.extend(["busybox", "sh", "-c", script]);
    home.a3s(&args).run().ok()
}

#[test]
fn a_read_only_root_has_writable_mounts_in_it() {
    let home = Home::new();
    let script = "touch /x 2>&1; touch /etc/x 2>&1; touch /run/x /new/deep/x /dev/shm/x && echo mounts; \
                  mount | grep -E ' on (/|/run|/new/deep|/dev/shm) ' | sed 's/.* on \\([^ ]*\\) .*(\\(r[ow]\\).*/\\1 \\2/' | sort; \
                  stat -c %a /new/deep; cp /bin/busybox /run/b; /run/b true 2>/dev/null || echo no exec; \
                  df -k /run /dev/shm | awk 'NR > 1 { print $2 }'; pwd";
    let options = [
        "--read-only",
        "--tmpfs",
        "/run:size=8m",
        "--tmpfs",
        "/new/deep:mode=700,exec",
        "--shm-size",
        "16m",
        "-w",
        "/made",
    ];
    assert_eq!(
        run(&home, &options, script),
        "touch: /x: Read-only file system\ntouch: /etc/x: Read-only file system\nmounts\n\
         / ro\n/dev/shm rw\n/new/deep rw\n/run rw\n700\nno exec\n8192\n16384\n/made"
    );
}

#[test]
fn limits_hold_for_every_process() {
    let home = Home::new();
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=-1", "--sysctl", "net.core.somaxconn=77"];
    let options = [&options[..], &["--sysctl", "kernel.shmmax=123456", "--pids-limit", "20"]].concat();
    home.start("limited", &options, "echo up; sleep 100000");
    home.await_log("limited", "up");
    let script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax \
                  /sys/fs/cgroup/pids.max";
    assert_eq!(home.exec("limited", script), "100\n200\nunlimited\n77\n123456\n20");
    let bomb = "for i in $(seq 40); do sleep 1000 & done 2>/dev/null; echo $?";
    let out = home.a3s(&["exec", "limited", "sh", "-c", bomb]).run();
    assert!(out.code != 0 || out.text() != "0\n", "{out:?}");
    let view = home.inspect("limited");
    assert_eq!(view["config"]["guest"]["pids"], 20);
    assert_eq!(view["config"]["guest"]["ulimits"][0], "nofile=100:200");
    let docker = home.a3s(&["inspect", "-f", "{{.HostConfig.PidsLimit}} {{.HostConfig.ShmSize}}", "limited"]);
    assert_eq!(docker.run().ok(), "20 67108864");
}

#[test]
fn half_a_cpu_is_half_of_the_time() {
    let home = Home::new();
    home.start("half", &["--cpus", "0.5"], "sleep 100000");
    assert_eq!(home.exec("half", "nproc; cat /sys/fs/cgroup/cpu.max"), "1\n50000 100000");
    let docker = home.a3s(&["inspect", "-f", "{{.HostConfig.NanoCpus}}", "half"]).run().ok();
    assert_eq!(docker, "500000000");
    let throttled = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; \
                     awk '/nr_throttled/ { print ($2 > 0) }' /sys/fs/cgroup/cpu.stat";
    assert_eq!(home.exec("half", throttled), "1");
}

#[test]
fn privileges_are_given_and_taken() {
    let home = Home::new();
    let caps = "grep -E 'CapEff|CapBnd' /proc/self/status | cut -f2";
    let seen = |options: &[&str]| run(&home, options, caps);
    assert_eq!(seen(&[]), "00000000a80425fb\n00000000a80425fb");
    assert_eq!(seen(&["--cap-drop", "ALL"]), "0000000000000000\n0000000000000000");
    let one = seen(&["--cap-drop", "all", "--cap-add", "NET_ADMIN"]);
    assert_eq!(one, "0000000000001000\n0000000000001000");
    assert!(seen(&["--cap-add", "ALL"]).starts_with("000001ffffffffff"));
    let link = "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu";
    assert_eq!(run(&home, &["--cap-add", "NET_ADMIN"], link), "1400");
    let seccomp = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | cut -f2";
    let options = ["--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"];
    assert_eq!(run(&home, &options, seccomp), "1\n2");
}

#[test]
fn names_and_groups_are_added() {
    let home = Home::new();
    let options = [
        "--add-host",
        "db:192.0.2.7",
        "--add-host",
        "six=2001:db8::1",
        "--hostname",
        "me",
        "--group-add",
        "10",
    ];
    let options = [&options[..], &["--group-add", "4242", "-u", "app"]].concat();
    let script = "grep -E 'db|six|me$' /etc/hosts | tr '\\t' ' '; id -G";
    assert_eq!(
        run(&home, &options, script),
        "127.0.1.1 me\n192.0.2.7 db\n2001:db8::1 six\n1000 10 2000 4242"
    );
    let missing = home.a3s(&["run", "--rm", "--group-add", "nobody-has-it", "busybox", "true"]).run();
    assert_eq!(missing.code, 126, "{}", missing.stderr);
    assert!(missing.stderr.contains("nobody-has-it"), "{}", missing.stderr);
}

#[test]
fn an_init_passes_signals_on_and_collects_orphans() {
    let home = Home::new();
    let script = "trap 'echo got term; exit 3' TERM; echo I am $$; (sleep 0.2 & exec sleep 0.1) & wait; \
                  echo up; while :; do sleep 0.1; done";
    home.start("init", &["--init"], script);
    home.await_log("init", "up");
    let zombies = home.exec("init", "ps -o stat,comm | grep -c ^Z; true");
    assert_eq!(zombies, "0");
    home.a3s(&["stop", "init"]).run().ok();
    assert_eq!(home.a3s(&["logs", "init"]).run().ok(), "I am 2\nup\ngot term");
    assert_eq!(home.inspect("init")["run"]["exit"]["code"], 3);
    let killed = home.a3s(&["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"]).run();
    assert_eq!(killed.code, 137);
    let missing = home.a3s(&["run", "--rm", "--init", "busybox", "/nothing/here"]).run();
    assert_eq!(missing.code, 127, "{}", missing.stderr);
}

#[test]
fn what_makes_no_sense_inside_is_refused_before_anything_starts() {
    let home = Home::new();
    for (options, words) in [
        (["--tmpfs", "relative"], ["relative", "absolute"]),
        (["--tmpfs", "/proc"], ["guest's own", "/proc"]),
        (["--tmpfs", "/a:size=x"], ["invalid size", "x"]),
        (["--shm-size", "0"], ["/dev/shm", "64m"]),
        (["--ulimit", "files=1"], ["files=1", "--ulimit"]),
        (["--sysctl", "kernel.core_pattern=|/x"], ["kernel.core_pattern", "may not"]),
        (["--cap-add", "GODMODE"], ["GODMODE", "unknown capability"]),
        (["--security-opt", "seccomp=/p.json"], ["seccomp=/p.json", "unconfined"]),
        (["--add-host", "db:nowhere"], ["db:nowhere", "invalid host"]),
        (["--pids-limit", "-5"], ["-5", "-1 for no limit"]),
        (["--cpus", "0.001"], ["0.001", "invalid number of CPUs"]),
    ] {
        let mut args = vec!["create"];
        args.extend(options);
        args.push("busybox");
        home.a3s(&args).run().refused(&words);
    }
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
}
