//! What a hostile guest may try: the shim, the host's files and the other boxes are unharmed, and the box can still be
//! stopped and removed.

use crate::harness::{Home, Kernel, Running, eventually, given, private_memory};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
/// What the shim may hold of memory, whatever a guest says.
pub const MOST: u64 = 32 * MIB;

/// The rootfs images of a state directory, by content.
fn rootfs(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(home.path().join("rootfs")).unwrap().map(|entry| entry.unwrap().path());
    let images = files.filter(|file| file.extension().is_some_and(|e| e == "erofs"));
    images.map(|file| (file.clone(), Sha256::digest(fs::read(&file).unwrap()).to_vec())).collect()
}

/// A box `mallory` among others: what is not its business is looked at before and after.
pub struct Neighbourhood {
    pub home: Home,
    rootfs: Vec<(PathBuf, Vec<u8>)>,
}

impl Neighbourhood {
    pub fn new() -> Self {
        let home = Home::new();
        home.idle("neighbour");
        home.exec("neighbour", "echo mine > /mine");
        let rootfs = rootfs(&home);
        assert!(!rootfs.is_empty());
        Self { home, rootfs }
    }

    /// A folder to boot guests from whose first process is the attacker.
    fn hostile_guest(&self) -> PathBuf {
        let dir = self.home.path().join("hostile");
        let kernel = self.home.kernel().file();
        fs::create_dir(&dir).unwrap();
        fs::copy(given("A3S_TEST_PROGRAMS").join("kernel").join(kernel), dir.join(kernel)).unwrap();
        fs::copy(given("A3S_TEST_ATTACKER"), dir.join("initramfs.cpio")).unwrap();
        dir
    }

    /// Boots `mallory` with the attacker for its first process.
    fn boot(&self, guest: &Path, what: &str, timeout: &str) -> Running {
        let args = ["run", "--name", "mallory", "--hostname", what, "--boot-timeout", timeout];
        self.home.a3s(&args).arg("busybox").arg("true").env("A3S_BOX_KERNEL_DIR", guest).spawn()
    }

    /// Boots `mallory` so, waits until the attacker has said `words`, and stops the box.
    fn hear(&self, guest: &Path, what: &str, timeout: &str, words: &str) -> String {
        let mut mallory = self.boot(guest, what, timeout);
        eventually("mallory", || self.home.state("mallory"));
        let said = self.await_console(words);
        self.home.a3s(&["stop", "-t", "0", "mallory"]).run().ok();
        assert_ne!(mallory.wait().code, 0);
        said
    }

    /// Waits until the attacker has said `words` on its console.
    fn await_console(&self, words: &str) -> String {
        let id = self.home.inspect("mallory")["id"].as_str().unwrap().to_owned();
        let console = self.home.path().join("boxes").join(id).join("console.log");
        eventually(words, || {
            let text = String::from_utf8_lossy(&fs::read(&console).ok()?).into_owned();
            text.contains(words).then_some(text)
        })
    }

    /// Nothing but `mallory` has come to harm, and it goes.
    pub fn come_through(self) {
        assert_eq!(self.home.exec("neighbour", "cat /mine"), "mine");
        self.home.a3s(&["rm", "-f", "mallory"]).run().ok();
        assert_eq!(self.home.state("mallory"), None);
        assert!(rootfs(&self.home) == self.rootfs, "a rootfs image was changed");
        let next = self.home.a3s(&["run", "--rm", "--name", "mallory", "busybox", "echo", "next"]).run();
        assert_eq!(next.ok(), "next");
    }
}

#[test]
fn a_first_process_that_writes_to_ports_and_read_only_disks_changes_nothing() {
    let town = Neighbourhood::new();
    let guest = town.hostile_guest();
    let said = town.hear(&guest, "disks", "60", "disks is over");
    assert!(said.contains("made writable"), "the disks were not found: {said}");
    town.home.a3s(&["rm", "mallory"]).run().ok();

    // It may end its own machine.
    let mut mallory = town.boot(&guest, "ports", "20");
    mallory.wait().refused(&["box "]);
    town.come_through();
}

/// What the guest says in the guest init's place costs the shim neither its mind nor its memory.
fn babble(what: &str) {
    let town = Neighbourhood::new();
    let guest = town.hostile_guest();
    let mut mallory = town.boot(&guest, what, "8");
    let shim =
        eventually("a shim", || town.home.state("mallory").and_then(|_| town.home.pid("mallory", "shim")));
    let most = eventually("an end of the boot", {
        let mut most = 0;
        let town = &town;
        move || {
            most = most.max(private_memory(shim).unwrap_or(0));
            (town.home.state("mallory").as_deref() == Some("failed")).then_some(most)
        }
    });
    assert!(most < MOST, "the shim held {} MiB", most / MIB);
    mallory.wait().refused(&["box "]);
    town.come_through();
}

#[test]
fn noise_in_place_of_the_guest_init() {
    babble("noise");
}

#[test]
fn frames_without_an_end_in_place_of_the_guest_init() {
    babble("frames");
}

#[test]
fn silence_in_place_of_the_guest_init() {
    babble("silence");
}

#[test]
fn ten_thousand_connections_from_the_guest_reach_nobody() {
    let town = Neighbourhood::new();
    let said = town.hear(&town.hostile_guest(), "sockets", "110", "connections came about");
    assert!(said.contains("attacker: 0 connections came about"), "{said}");
    town.come_through();
}

/// Runs the attacker as a process in the box `mallory`.
fn from_inside(town: &Neighbourhood, what: &str) -> String {
    let program = fs::read(given("A3S_TEST_ATTACKER_PROGRAM")).unwrap();
    let put = town.home.a3s(&["exec", "-i", "mallory", "sh", "-c", "cat > /attacker; chmod 755 /attacker"]);
    put.stdin(program).run().ok();
    town.home.a3s(&["exec", "mallory", "/attacker", what]).run().text()
}

#[test]
fn a_process_that_writes_to_ports_and_connects_to_the_agent_gets_nowhere() {
    let town = Neighbourhood::new();
    town.home.idle("mallory");
    let said = from_inside(&town, "sockets");
    assert!(said.contains("attacker: 0 connections came about"), "{said}");
    let said = from_inside(&town, "ports");
    // Where nothing is between a process and the guest's kernel, it may end its own machine.
    if town.home.kernel() == Kernel::Standard {
        assert!(said.contains("attacker: 65536 ports were refused"), "{said}");
        assert_eq!(town.home.exec("mallory", "echo alive"), "alive");
    }
    town.come_through();
}

#[test]
fn a_disk_that_is_filled_is_the_boxs_own() {
    let town = Neighbourhood::new();
    town.home.start("mallory", &["--disk", "64m"], "sleep 100000");
    let filled = town.home.a3s(&["exec", "mallory", "sh", "-c", "cat /dev/zero > /ballast"]).run();
    assert_ne!(filled.code, 0);
    assert!(filled.stderr.contains("No space left"), "{}", filled.stderr);
    // It can still be used, and freed.
    assert_eq!(town.home.exec("mallory", "rm /ballast; echo again > /x; cat /x"), "again");
    town.home.a3s(&["stop", "-t", "1", "mallory"]).run().ok();
    town.come_through();
}

#[test]
fn a_fork_bomb_hits_its_own_box() {
    let town = Neighbourhood::new();
    town.home.start("mallory", &[], "f() { f | f & }; echo up; f; while :; do sleep 1; done");
    town.home.await_log("mallory", "up\n");
    assert_eq!(town.home.exec("neighbour", "echo alive"), "alive");
    town.home.a3s(&["stop", "-t", "1", "mallory"]).run().ok();
    assert_eq!(town.home.state("mallory").unwrap(), "stopped");
    town.come_through();
}

#[test]
fn memory_that_runs_out_runs_out_in_its_own_box() {
    let town = Neighbourhood::new();
    town.home.start("mallory", &["--memory", "128m"], "sleep 100000");
    // `tail` keeps the line that never ends.
    let hungry = town.home.a3s(&["exec", "mallory", "sh", "-c", "tail /dev/zero"]).run();
    assert_eq!(hungry.code, 137, "{}", hungry.stderr);
    assert_eq!(town.home.exec("mallory", "echo alive"), "alive");
    town.home.a3s(&["stop", "-t", "1", "mallory"]).run().ok();
    town.come_through();
}
