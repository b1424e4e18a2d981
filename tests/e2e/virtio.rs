//! A guest's kernel that speaks virtio as no driver would (`tests/hostile-kernel`): whatever it asks of its devices, it
//! harms its own machine alone, and the box can be stopped and removed.
//!
//! It may end its VMM, as any guest may, and a device may end up in a state that it only leaves with its machine. Then
//! the next machine goes on with the next attempt.

use crate::attacks::{MOST, Neighbourhood};
use crate::harness::{Home, TIMES, eventually, given, most_memory, private_memory};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const MEMORY: u64 = 128;
/// What a VMM may hold beside its guest's memory, as `docs/security.md` says.
const BESIDE: u64 = 256;
/// A kernel that says nothing for so long waits for a device that does not come back.
const SILENCE: Duration = Duration::from_secs(3);
/// How long the end of a box may take that is not asked nicely; a shim that is stuck takes twice as long.
const SOON: Duration = Duration::from_secs(10);

/// How a machine's attempts ended.
#[derive(Debug, PartialEq)]
enum End {
    /// All attempts were made.
    Over,
    /// The attempt wants a machine that has just been booted.
    Fresh,
    /// The VMM ended.
    Dead,
    /// The kernel waits for its VMM without an end.
    Hung,
}

/// What a machine has said, and how it ended.
struct Told {
    end: End,
    text: String,
    /// The most memory that its VMM has held, and its shim.
    most: [u64; 2],
    /// What the user is told.
    reason: String,
}

impl Told {
    /// The number of the last attempt, and what it is called. One that was cut off in its number does not count.
    fn last(&self) -> (u64, &str) {
        let digits = |line: &str| line.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0);
        let (line, digits) =
            self.text.lines().rev().find_map(|line| Some((line, digits(line)?))).expect("an attempt");
        (line[..digits].parse().unwrap(), line)
    }
}

/// A folder to boot guests from whose kernel is hostile, from its attempt `from` on.
fn guest(home: &Home, from: u64) -> PathBuf {
    let dir = home.path().join("hostile-kernel");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        fs::copy(given("A3S_TEST_HOSTILE_KERNEL"), dir.join(home.kernel().file())).unwrap();
    }
    fs::write(dir.join("initramfs.cpio"), format!("{from}\n")).unwrap();
    dir
}

/// Boots `mallory` with that kernel, and listens until there is nothing more to hear.
fn listen(home: &Home, guest: &Path) -> Told {
    let memory = format!("{MEMORY}m");
    let args = ["run", "--name", "mallory", "--memory", &memory, "--boot-timeout", "200", "busybox", "true"];
    let mut run = home.a3s(&args).env("A3S_BOX_KERNEL_DIR", guest).spawn();
    let folder = eventually("a box's folder", || folder(home));
    let console =
        || String::from_utf8_lossy(&fs::read(folder.join("console.log")).unwrap_or_default()).into_owned();
    let vmm = eventually("a VMM", || process(&folder, "vmm"));
    let shim = process(&folder, "shim").unwrap();
    let (mut text, mut most, mut heard) = (String::new(), [0, 0], Instant::now());
    let end = eventually("an end of the attempts", || {
        let held = most_memory(vmm);
        let said = console();
        if said.len() > text.len() {
            (text, heard) = (said, Instant::now());
        }
        let now = [held, private_memory(shim)].map(|held| held.unwrap_or(0));
        most = [0, 1].map(|which| now[which].max(most[which]));
        match text.lines().last().unwrap_or_default() {
            "hostile: all is tried" => Some(End::Over),
            line if line.ends_with("needs a fresh machine") => Some(End::Fresh),
            _ if held.is_none() => Some(End::Dead),
            line => (!line.is_empty() && heard.elapsed() > SILENCE * *TIMES).then_some(End::Hung),
        }
    });
    if end != End::Dead {
        let begin = Instant::now();
        home.a3s(&["stop", "-t", "0", "mallory"]).run().ok();
        assert!(begin.elapsed() < SOON, "the stop took {:?}", begin.elapsed());
    }
    let out = run.wait();
    // It failed, unless it was stopped before.
    let stopped = end != End::Dead && out.code == 137;
    assert!(stopped || out.code == 125, "{end:?}: {}", out.stderr);
    // The shim has read it to its end.
    let text = console();
    home.a3s(&["rm", "mallory"]).run().ok();
    Told { end, text, most, reason: out.stderr }
}

/// The folder of the box that boots.
fn folder(home: &Home) -> Option<PathBuf> {
    let folders = fs::read_dir(home.path().join("boxes")).unwrap().flatten().map(|entry| entry.path());
    let names = |folder: &PathBuf| {
        let spec = fs::read_to_string(folder.join("spec.json")).ok()?;
        spec.contains("hostile-kernel").then_some(())
    };
    folders.into_iter().find(|folder| names(folder).is_some())
}

/// The `vmm` or the `shim` of that folder.
fn process(folder: &Path, which: &str) -> Option<i32> {
    let status: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("status.json")).ok()?).ok()?;
    status[which]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

#[test]
fn a_kernel_that_speaks_virtio_as_none_would_harms_its_own_machine_alone() {
    let town = Neighbourhood::new();
    let mut from = 0;
    let (mut all, mut account, mut most) = (String::new(), String::new(), [0, 0]);
    loop {
        let told = listen(&town.home, &guest(&town.home, from));
        all += &told.text;
        most = [0, 1].map(|which| told.most[which].max(most[which]));
        if told.end == End::Over {
            break;
        }
        let (last, name) = told.last();
        writeln!(account, "{:?}: {name}", told.end).unwrap();
        if told.end == End::Dead {
            let reason = told.reason.lines().find(|line| line.starts_with("error: ")).unwrap();
            assert!(reason.len() < 8192, "an error of {} bytes", reason.len());
            writeln!(account, "  {}", reason.chars().take(300).collect::<String>()).unwrap();
        }
        // An attempt whose name was cut off was not made: what ended the VMM is the one before.
        let again = told.end == End::Fresh || !name.contains(": ");
        assert!(!again || last > from || from == 0, "{:?} before anything was tried: {name}", told.end);
        from = if again { last } else { last + 1 };
    }
    let [vmm, shim] = most.map(|most| most / MIB);
    println!("{account}the VMM held {vmm} MiB, the shim {shim} MiB");
    // It does know how to speak to them.
    for right in ["a read as it should be: used 51", "an answer into enough room: used 54"] {
        assert!(all.contains(right), "not heard: {right}\n{account}{all}");
    }
    assert!(vmm < MEMORY + BESIDE, "the VMM held {vmm} MiB");
    assert!(most[1] < MOST, "the shim held {shim} MiB");
    town.come_through();
}
