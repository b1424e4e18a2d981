//! A state directory of a test's own. When the test is over its boxes are removed, and nothing may be left of
//! them: no process, no folder, no panic in a guest's console.

use super::{A3s, eventually, given};
use a3s_box_files::Process;
use rustix::process::{Pid, Signal};
use std::fs;
use std::path::Path;

/// A flavour of the guest kernel.
#[derive(Clone, Copy, PartialEq)]
pub enum Kernel {
    Standard,
    Cpl3,
}

impl Kernel {
    /// What its file is called.
    pub fn file(self) -> &'static str {
        match self {
            Self::Standard => "vmlinux",
            Self::Cpl3 => "vmlinux-cpl3",
        }
    }

    /// Two vCPUs, or as many as it has.
    pub fn cpus(self) -> &'static str {
        match self {
            Self::Standard => "2",
            Self::Cpl3 => "1",
        }
    }
}

pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// One that holds nothing.
    pub fn empty() -> Self {
        Self { dir: tempfile::Builder::new().prefix("a3s-home-").tempdir().unwrap() }
    }

    /// One that holds the image `busybox`.
    pub fn new() -> Self {
        let home = Self::empty();
        home.load("A3S_TEST_BUSYBOX", "busybox");
        home
    }

    /// Loads an image that `cargo xtask e2e` has made.
    pub fn load(&self, variable: &str, tag: &str) {
        self.a3s(&["load", "--tag", tag, "--input"]).arg(given(variable)).run().ok();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn a3s(&self, args: &[&str]) -> A3s {
        A3s::new(self.path(), args)
    }

    /// Starts a box called `name` that does nothing until it is stopped.
    pub fn idle(&self, name: &str) {
        self.start(name, &[], "sleep 100000");
    }

    /// Starts a box called `name` that runs `script`.
    pub fn start(&self, name: &str, options: &[&str], script: &str) {
        let mut args = vec!["run", "-d", "--name", name];
        args.extend(options);
        args.extend(["busybox", "--", "sh", "-c", script]);
        self.a3s(&args).run().ok();
    }

    /// What `exec NAME sh -c SCRIPT` prints.
    #[track_caller]
    pub fn exec(&self, name: &str, script: &str) -> String {
        self.a3s(&["exec", name, "sh", "-c", script]).run().ok()
    }

    /// The one object that `inspect NAME` prints.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> serde_json::Value {
        let json = self.a3s(&["inspect", name]).run().ok();
        let mut views: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        views.pop().unwrap()
    }

    /// Waits until a box has written `text`.
    pub fn await_log(&self, name: &str, text: &str) {
        eventually(text, || self.a3s(&["logs", name]).run().text().contains(text).then_some(()));
    }

    /// The state of a box, as `ps -a` tells it.
    pub fn state(&self, name: &str) -> Option<String> {
        let lines = self.a3s(&["ps", "-a", "--format", "json"]).run().ok();
        lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|view| view["Names"] == name)
            .map(|view| view["State"].as_str().unwrap().to_owned())
    }

    /// The flavour of the kernel that boxes get on the VMM and accelerator under test.
    pub fn kernel(&self) -> Kernel {
        let id = self.a3s(&["create", "busybox"]).run().ok();
        let flavor = self.inspect(&id)["kernel"].as_str().unwrap().to_owned();
        self.a3s(&["rm", &id]).run().ok();
        match flavor.as_str() {
            "standard" => Kernel::Standard,
            "cpl3" => Kernel::Cpl3,
            other => panic!("an unknown kernel: {other}"),
        }
    }

    /// The PID of a box's `shim` or `vmm`.
    pub fn pid(&self, name: &str, which: &str) -> Option<i32> {
        let view = self.inspect(name);
        view["run"][which]["pid"].as_i64().map(|pid| i32::try_from(pid).unwrap())
    }

    /// The host's processes that work in or with this state directory, this test's commands aside.
    pub fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut others = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let proc = entry.path();
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let words = fs::read(proc.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&words).replace('\0', " ");
            let inside = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.path()));
            let process = (pid, format!("{pid}: {line}"));
            if inside || line.contains(&self.path().display().to_string()) {
                found.push(process);
            } else {
                others.push(process);
            }
        }
        // libkrun's process lets nobody but root see its folder, but whose child it is.
        let shims: Vec<u32> = found.iter().map(|(pid, _)| *pid).collect();
        let of_shims = |(pid, line): &(u32, String)| {
            let pid = i32::try_from(*pid).unwrap();
            let parent = Process::find(pid).and_then(|found| u32::try_from(found.parent).ok());
            line.contains("a3s-box-krun") && parent.is_some_and(|parent| shims.contains(&parent))
        };
        others.retain(of_shims);
        found.into_iter().chain(others).map(|(_, line)| line).collect()
    }

    /// Waits until no process is left.
    pub fn await_quiet(&self) {
        eventually("an end of all processes", || self.processes().is_empty().then_some(()));
    }

    fn panics(&self) -> Vec<String> {
        let folders = fs::read_dir(self.path().join("boxes")).into_iter().flatten().flatten();
        let logs = folders.flat_map(|f| [f.path().join("console.log"), f.path().join("console.1.log")]);
        let texts = logs.filter_map(|log| fs::read(log).ok());
        texts
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .filter(|text| text.contains("Kernel panic") || text.contains("BUG: "))
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.processes() {
                let pid = line.split(':').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
                pid.map(|pid| rustix::process::kill_process(pid, Signal::KILL));
            }
            return;
        }
        let panics = self.panics();
        let ids = self.a3s(&["ps", "-aq"]).run();
        if ids.code == 0 && !ids.stdout.is_empty() {
            let ids = ids.text();
            let mut args = vec!["rm", "-f"];
            args.extend(ids.lines());
            self.a3s(&args).run().ok();
        }
        self.await_quiet();
        let left: Vec<_> = fs::read_dir(self.path().join("boxes")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "folders without a box: {left:?}");
        assert!(panics.is_empty(), "a guest kernel failed: {panics:?}");
    }
}
