//! No room at each write: every step says so and leaves nothing, and the same step succeeds once there is room.

use crate::harness::{A3s, Home, Out, eventually, given};
use std::process::{Child, Command, Stdio};

/// A state directory on a small disk of its own, in a mount namespace, which needs no root.
struct SmallDisk {
    home: Home,
    holder: Child,
}

impl SmallDisk {
    fn new(size: &str) -> Self {
        let home = Home::empty();
        let script = "mount -t tmpfs -o size=$2 none \"$1\" && touch \"$1/ready\" && exec sleep 100000";
        let holder = Command::new("unshare")
            .args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] })
            .args(["sh", "-c", script, "sh"])
            .arg(home.path())
            .arg(size)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let disk = Self { home, holder };
        eventually("the disk", || disk.shell("rm \"$A3S_HOME/ready\" 2> /dev/null").then_some(()));
        disk
    }

    /// A command in the namespace.
    fn enter(&self) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(if is_root() {
            &["--mount"][..]
        } else {
            &["--mount", "--user", "--preserve-credentials"]
        });
        enter.arg("--target").arg(self.holder.id().to_string()).arg("--");
        enter
    }

    fn a3s(&self, args: &[&str]) -> A3s {
        self.home.a3s(args).through(self.enter())
    }

    fn shell(&self, script: &str) -> bool {
        self.enter().args(["sh", "-c", script]).env("A3S_HOME", self.home.path()).status().unwrap().success()
    }

    /// Leaves so many KiB free.
    fn fill(&self, kib: usize) {
        let script = format!(
            "cd \"$A3S_HOME\"; dd if=/dev/zero of=ballast bs=4k 2> /dev/null; truncate -s -{kib}k ballast"
        );
        assert!(self.shell(&script));
    }

    fn make_room(&self) {
        assert!(self.shell("rm \"$A3S_HOME/ballast\""));
    }

    /// All that is there, but for what is made on the way, once and for all.
    fn things(&self) -> String {
        let script = "cd \"$A3S_HOME\"; find . -type f -o -type d | grep -Ev '/[.]?lock|[.]lock$|^./(events.jsonl|host.json|ballast)|^./(disks|templates|images/used|images/partial|networks|volumes)$|^./disks/ext4|[.]template$|^./boxes/[^/]*/' | sort";
        let out = self.enter().args(["sh", "-c", script]).env("A3S_HOME", self.home.path()).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let ids = self.a3s(&["ps", "-aq"]).run().ok();
            let args: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.lines()).collect();
            if !ids.is_empty() {
                self.a3s(&args).run().ok();
            }
        }
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether there was room. Where there was none, that has to be said.
fn had_room(step: &str, kib: usize, out: &Out) -> bool {
    if out.code == 0 {
        return true;
    }
    out.refused(&[]);
    let said = &out.stderr;
    assert!(said.contains("No space left") || said.contains("no room"), "{step}, {kib} KiB: {said}");
    assert!(said.contains("hint: "), "{step}, {kib} KiB: {said}");
    false
}

#[test]
fn every_step_without_room_says_so_and_leaves_nothing() {
    let disk = SmallDisk::new("64m");
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = elsewhere.path().join("busybox.tar");
    let archive = archive.to_str().unwrap();
    let [busybox, scratch] = ["A3S_TEST_BUSYBOX", "A3S_TEST_SCRATCH"].map(given);
    let (busybox, scratch) = (busybox.to_str().unwrap(), scratch.to_str().unwrap());
    disk.a3s(&["load", "-t", "busybox", "-i", busybox]).run().ok();
    disk.a3s(&["save", "-o", archive, "busybox"]).run().ok();
    let script = "dd if=/dev/urandom of=/file bs=1k count=300 2> /dev/null; echo up; sleep 100000";
    // What is in the guest's memory is not hit by what happens to the disk.
    disk.a3s(&["run", "-d", "--name", "up", "--ephemeral", "busybox", "sh", "-c", script]).run().ok();
    eventually("its file", || disk.a3s(&["logs", "up"]).run().text().contains("up").then_some(()));
    let steps: &[(&[&str], &[&str])] = &[
        (&["tag", "busybox", "other"], &["rmi", "other"]),
        (&["create", "--name", "new", "busybox"], &["rm", "new"]),
        (&["create", "--name", "new", "-v", "made:/v", "busybox"], &["rm", "new"]),
        (&["run", "--rm", "busybox", "true"], &["ps"]),
        (&["volume", "create", "made"], &["volume", "rm", "made"]),
        (&["network", "create", "made"], &["network", "rm", "made"]),
        (&["commit", "up", "other"], &["rmi", "other"]),
        (&["load", "-t", "other", "-i", scratch], &["rmi", "other"]),
        (&["import", archive, "other"], &["rmi", "other"]),
        (&["rename", "up", "down"], &["rename", "down", "up"]),
        (&["update", "--restart", "on-failure", "up"], &["update", "--restart", "no", "up"]),
    ];
    let (mut full, mut roomy) = (0, 0);
    for (step, undo) in steps {
        let name = step.join(" ");
        let before = disk.things();
        for kib in [0, 4, 16, 64, 512, 4096] {
            disk.fill(kib);
            let out = disk.a3s(step).run();
            disk.make_room();
            if had_room(&name, kib, &out) {
                roomy += 1;
                disk.a3s(undo).run().ok();
            } else {
                full += 1;
            }
            // A volume that was made for a box is kept, as Docker keeps it.
            disk.a3s(&["volume", "prune", "--all", "-f"]).run().ok();
            assert_eq!(disk.things(), before, "{name}, {kib} KiB: {}", out.stderr);
        }
        // With room there is nothing left in the way.
        disk.a3s(step).run().ok();
        disk.a3s(undo).run().ok();
        disk.a3s(&["volume", "prune", "--all", "-f"]).run().ok();
    }
    assert!(full > 20 && roomy > 10, "{full} steps had no room, {roomy} had");
    // A box that fills the host's disk hears of it, and does not stand still.
    disk.a3s(&["run", "-d", "--name", "fills", "busybox", "sleep", "100000"]).run().ok();
    disk.fill(0);
    let big =
        ["exec", "fills", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=30 2> /dev/null && sync /big"];
    assert_ne!(disk.a3s(&big).run().code, 0);
    assert_eq!(disk.a3s(&["exec", "fills", "echo", "well"]).run().ok(), "well");
    disk.make_room();
    disk.a3s(&["restart", "-t", "0", "fills"]).run().ok();
    assert_eq!(disk.a3s(&["exec", "fills", "echo", "well"]).run().ok(), "well");
}
