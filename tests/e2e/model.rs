//! Boxes against a model of them: random steps, of several commands at once, with `kill -9` of commands, shims and VMMs
//! and frozen state directories in between. After each, `ps -a` agrees with the process table, with the disk and with
//! the model.
//!
//! `A3S_TEST_STEPS` is how many steps there are; a failure prints the least sequence that fails, and `A3S_TEST_SEED` takes
//! the seed that it prints.

use crate::harness::{Home, Running, TIMES, eventually};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestCaseResult, TestError, TestRunner};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

/// No beginnings of ids.
const NAMES: [&str; 4] = ["w", "x", "y", "z"];
const SCRIPT: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

/// One command of `a3s-box`, on one of [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verb {
    Create(usize),
    CreateThatComesBack(usize),
    Start(usize),
    Stop(usize),
    StopAtOnce(usize),
    Kill(usize),
    Pause(usize),
    Unpause(usize),
    Exec(usize),
    Rename(usize, usize),
    Rm(usize),
    RmForced(usize),
}

#[derive(Debug, Clone)]
enum Step {
    /// A command, to its end.
    One(Verb),
    /// Commands that begin together.
    Together(Vec<Verb>),
    /// A command that is killed after some milliseconds.
    Killed(Verb, u64),
    ShimKilled(usize),
    VmmKilled(usize),
    /// While a command is under way all stands still, and what is on the disk then is looked at as after a power cut.
    PowerCut(Verb, u64),
}

fn verb() -> impl Strategy<Value = Verb> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => name().prop_map(Verb::Create),
        1 => name().prop_map(Verb::CreateThatComesBack),
        6 => name().prop_map(Verb::Start),
        2 => name().prop_map(Verb::Stop),
        2 => name().prop_map(Verb::StopAtOnce),
        1 => name().prop_map(Verb::Kill),
        1 => name().prop_map(Verb::Pause),
        2 => name().prop_map(Verb::Unpause),
        2 => name().prop_map(Verb::Exec),
        1 => (name(), name()).prop_map(|(from, to)| Verb::Rename(from, to)),
        1 => name().prop_map(Verb::Rm),
        1 => name().prop_map(Verb::RmForced),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        20 => verb().prop_map(Step::One),
        3 => proptest::collection::vec(verb(), 2..4).prop_map(Step::Together),
        4 => (verb(), 0_u64..60).prop_map(|(verb, after)| Step::Killed(verb, after)),
        2 => name().prop_map(Step::ShimKilled),
        2 => name().prop_map(Step::VmmKilled),
        1 => (verb(), 0_u64..60).prop_map(|(verb, after)| Step::PowerCut(verb, after)),
    ]
}

/// What a box is expected to be.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    state: &'static str,
    comes_back: bool,
}

/// The boxes by name; none where the last step leaves open what there is.
type Model = BTreeMap<&'static str, Expected>;

fn arguments(verb: Verb) -> Vec<&'static str> {
    let create = |name: usize, policy| {
        vec!["create", "--name", NAMES[name], "--restart", policy, "busybox", "sh", "-c", SCRIPT]
    };
    match verb {
        Verb::Create(name) => create(name, "no"),
        Verb::CreateThatComesBack(name) => create(name, "always"),
        Verb::Start(name) => vec!["start", NAMES[name]],
        Verb::Stop(name) => vec!["stop", NAMES[name]],
        Verb::StopAtOnce(name) => vec!["stop", "-t", "0", NAMES[name]],
        Verb::Kill(name) => vec!["kill", NAMES[name]],
        Verb::Pause(name) => vec!["pause", NAMES[name]],
        Verb::Unpause(name) => vec!["unpause", NAMES[name]],
        Verb::Exec(name) => vec!["exec", NAMES[name], "true"],
        Verb::Rename(from, to) => vec!["rename", NAMES[from], NAMES[to]],
        Verb::Rm(name) => vec!["rm", NAMES[name]],
        Verb::RmForced(name) => vec!["rm", "-f", NAMES[name]],
    }
}

/// Does to the model what a command does to boxes. Whether it is to succeed.
fn apply(model: &mut Model, verb: Verb) -> bool {
    let live = |model: &Model, name: usize| {
        model.get(NAMES[name]).is_some_and(|is| ["running", "paused"].contains(&is.state))
    };
    let is =
        |model: &Model, name: usize, state: &str| model.get(NAMES[name]).is_some_and(|is| is.state == state);
    let put = |model: &mut Model, name: usize, state: &'static str| {
        if let Some(is) = model.get_mut(NAMES[name]) {
            is.state = state;
        }
    };
    match verb {
        Verb::Create(name) | Verb::CreateThatComesBack(name) => {
            let comes_back = matches!(verb, Verb::CreateThatComesBack(_));
            let free = !model.contains_key(NAMES[name]);
            model.entry(NAMES[name]).or_insert(Expected { state: "created", comes_back });
            free
        }
        Verb::Start(name) => {
            let may = model.contains_key(NAMES[name]) && !live(model, name);
            if may {
                put(model, name, "running");
            }
            may
        }
        Verb::Stop(name) | Verb::StopAtOnce(name) => {
            if live(model, name) {
                put(model, name, "stopped");
            }
            model.contains_key(NAMES[name])
        }
        Verb::Kill(name) => {
            let may = live(model, name);
            if may {
                put(model, name, "stopped");
            }
            may
        }
        Verb::Pause(name) => {
            let may = is(model, name, "running");
            if may {
                put(model, name, "paused");
            }
            may
        }
        Verb::Unpause(name) => {
            let may = is(model, name, "paused");
            if may {
                put(model, name, "running");
            }
            may
        }
        Verb::Exec(name) => is(model, name, "running"),
        Verb::Rename(from, to) => {
            let may = model.contains_key(NAMES[from]) && !model.contains_key(NAMES[to]);
            if may && let Some(is) = model.remove(NAMES[from]) {
                model.insert(NAMES[to], is);
            }
            may
        }
        Verb::Rm(name) => {
            let may = model.contains_key(NAMES[name]) && !live(model, name);
            if may {
                model.remove(NAMES[name]);
            }
            may
        }
        Verb::RmForced(name) => {
            model.remove(NAMES[name]);
            true
        }
    }
}

struct World {
    home: Home,
    model: Model,
}

fn fail(what: String) -> TestCaseError {
    TestCaseError::fail(what)
}

impl World {
    fn run(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::One(verb) => {
                let out = self.home.a3s(&arguments(*verb)).run();
                let expected = apply(&mut self.model, *verb);
                prop_assert_eq!(out.code == 0, expected, "{:?}: {} {}", verb, out.text(), out.stderr);
                if !expected {
                    prop_assert!(out.code == 125, "{:?}: {} {}", verb, out.code, out.stderr);
                }
            }
            Step::Together(verbs) => {
                let begin = |verb: &Verb| (*verb, self.home.a3s(&arguments(*verb)).spawn());
                let commands: Vec<(Verb, Running)> = verbs.iter().map(begin).collect();
                for (verb, mut command) in commands {
                    let out = command.wait();
                    // What comes up in a box, or it itself, may be ended by another command.
                    let comes_up = matches!(verb, Verb::Exec(_) | Verb::Start(_));
                    let may = if comes_up { &[0, 125, 126, 137][..] } else { &[0, 125] };
                    prop_assert!(may.contains(&out.code), "{:?}: {}: {}", verb, out.code, out.stderr);
                }
                self.learn()?;
            }
            Step::Killed(verb, after) => {
                let mut command = self.home.a3s(&arguments(*verb)).spawn();
                std::thread::sleep(Duration::from_millis(*after));
                command.kill();
                // What it may have asked of a shim is brought to its end, or nobody could say when it comes.
                let settle = match verb {
                    Verb::Stop(name) | Verb::StopAtOnce(name) | Verb::Kill(name) | Verb::RmForced(name) => {
                        Some(Verb::StopAtOnce(*name))
                    }
                    Verb::Pause(name) | Verb::Unpause(name) => Some(Verb::Unpause(*name)),
                    _ => None,
                };
                settle.map(|verb| self.home.a3s(&arguments(verb)).run());
                self.learn()?;
            }
            Step::ShimKilled(name) | Step::VmmKilled(name) => {
                let name = NAMES[*name];
                let Some(is) =
                    self.model.get_mut(name).filter(|is| ["running", "paused"].contains(&is.state))
                else {
                    return Ok(());
                };
                let by_shim = matches!(step, Step::ShimKilled(_));
                is.state = if is.comes_back && !by_shim { "running" } else { "stopped" };
                let which = if by_shim { "shim" } else { "vmm" };
                let pid = self.home.pid(name, which).and_then(Pid::from_raw);
                let _ = kill_process(pid.ok_or_else(|| fail(format!("no {which}")))?, Signal::KILL);
                if is.state == "running" {
                    // It must not be looked at before the crash was noticed.
                    eventually("another VMM", || {
                        let other = self.home.pid(name, "vmm").and_then(Pid::from_raw);
                        (other.is_some() && other != pid).then_some(())
                    });
                }
            }
            Step::PowerCut(verb, after) => {
                let mut command = self.home.a3s(&arguments(*verb)).spawn();
                std::thread::sleep(Duration::from_millis(*after));
                let copy = self.freeze(&command);
                command.wait();
                wake_up_in(copy.path())?;
                self.learn()?;
            }
        }
        self.agree()
    }

    /// A copy of the state directory at one instant.
    fn freeze(&self, command: &Running) -> tempfile::TempDir {
        let copy = tempfile::Builder::new().prefix("a3s-frozen-").tempdir().unwrap();
        let of_home =
            || self.home.processes().into_iter().filter_map(|line| line.split(':').next()?.parse().ok());
        let pids: Vec<i32> = of_home().chain([command.pid()]).collect();
        let all = |signal| {
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                let _ = kill_process(pid, signal);
            }
        };
        all(Signal::STOP);
        let mut cp = Program::new("cp");
        cp.args(["-a", "--sparse=always"]).arg(format!("{}/.", self.home.path().display())).arg(copy.path());
        // Sockets cannot be copied, and need not be.
        cp.stderr(std::process::Stdio::null()).status().unwrap();
        // A VMM that is paused stays so: it was when all else was stopped.
        let paused: BTreeSet<i32> = self
            .model
            .iter()
            .filter(|(_, is)| is.state == "paused")
            .filter_map(|(name, _)| frozen_pid(copy.path(), name))
            .collect();
        for pid in pids.iter().filter(|pid| !paused.contains(pid)).filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, Signal::CONT);
        }
        copy
    }

    /// Takes for expected what there is, after steps that leave it open.
    fn learn(&mut self) -> TestCaseResult {
        // What was begun goes on without its command.
        let settled = || {
            let views = self.views();
            let moving = views
                .iter()
                .any(|view| ["starting", "restarting"].contains(&view["State"].as_str().unwrap_or("")));
            (!moving).then_some(views)
        };
        let views = eventually("boxes that have settled", settled);
        let mut model = Model::new();
        for view in views {
            let name = view["Names"].as_str().unwrap_or_default();
            let Some(name) = NAMES.iter().find(|known| **known == name) else {
                return Err(fail(format!("a box that nobody made: {view}")));
            };
            let known = ["created", "running", "paused", "stopped", "failed"];
            let state = known.iter().find(|state| view["State"] == **state);
            let state = state.ok_or_else(|| fail(format!("an odd state: {view}")))?;
            let comes_back = self.home.inspect(name)["config"]["policy"]["restart"] == "always";
            model.insert(name, Expected { state, comes_back });
        }
        self.model = model;
        Ok(())
    }

    fn views(&self) -> Vec<Value> {
        let lines = self.home.a3s(&["ps", "-a", "--format", "json"]).run().ok();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether what `ps -a` says is so.
    fn agree(&self) -> TestCaseResult {
        // The end of a killed process is noticed a moment later.
        let deadline = Instant::now() + Duration::from_secs(20) * *TIMES;
        while let Some(why) = self.disagreement() {
            if Instant::now() > deadline {
                return Err(fail(why));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn disagreement(&self) -> Option<String> {
        let views = self.views();
        let seen: BTreeMap<&str, &str> = views
            .iter()
            .map(|view| (view["Names"].as_str().unwrap_or(""), view["State"].as_str().unwrap_or("")))
            .collect();
        let expected: BTreeMap<&str, &str> = self.model.iter().map(|(name, is)| (*name, is.state)).collect();
        if seen != expected {
            return Some(format!("ps says {seen:?}, expected is {expected:?}"));
        }
        let processes = self.home.processes();
        let mut owned = BTreeSet::new();
        for (name, state) in &seen {
            let view = self.home.inspect(name);
            let pids: Vec<String> = ["shim", "vmm"]
                .iter()
                .filter_map(|which| view["run"][which]["pid"].as_i64())
                .map(|pid| pid.to_string())
                .collect();
            let alive = |pid: &&String| processes.iter().any(|line| line.starts_with(&format!("{pid}: ")));
            let living = pids.iter().filter(alive).count();
            let wanted = if ["running", "paused"].contains(state) { 2 } else { 0 };
            if living != wanted {
                return Some(format!("{name} is {state}, and {living} of its processes live: {processes:?}"));
            }
            owned.extend(pids);
        }
        let stray: Vec<&String> = processes
            .iter()
            .filter(|line| line.split(':').next().is_none_or(|pid| !owned.contains(pid)))
            .collect();
        if !stray.is_empty() {
            return Some(format!("processes of no box: {stray:?}"));
        }
        let records: BTreeSet<String> =
            self.home.a3s(&["ps", "-aq", "--no-trunc"]).run().ok().lines().map(str::to_owned).collect();
        let folders = folders(self.home.path());
        let lost: Vec<_> = records.difference(&folders).collect();
        (!lost.is_empty()).then(|| format!("boxes without a folder: {lost:?}"))
    }
}

fn folders(home: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(home.join("boxes")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The VMM of a box in a frozen state directory.
fn frozen_pid(home: &Path, name: &str) -> Option<i32> {
    let records: Value = serde_json::from_slice(&fs::read(home.join("boxes.json")).ok()?).ok()?;
    let id = records["boxes"].as_object()?.values().find(|record| record["name"] == name)?["id"]
        .as_str()?
        .to_owned();
    let status: Value =
        serde_json::from_slice(&fs::read(home.join("boxes").join(id).join("status.json")).ok()?).ok()?;
    i32::try_from(status["vmm"]["pid"].as_i64()?).ok()
}

/// Looks at a frozen state directory as after a power cut: all is sound, and everything can be removed.
fn wake_up_in(home: &Path) -> TestCaseResult {
    for folder in folders(home) {
        let file = home.join("boxes").join(folder).join("status.json");
        if let Ok(Ok(mut status)) = fs::read(&file).map(|json| serde_json::from_slice::<Value>(&json)) {
            status["boot"] = "before the power cut".into();
            fs::write(&file, serde_json::to_vec(&status).unwrap()).unwrap();
        }
    }
    let a3s = |args: &[&str]| crate::harness::A3s::new(home, args).run();
    let listed = a3s(&["ps", "-a", "--format", "{{.State}}"]);
    prop_assert_eq!(listed.code, 0, "{}", listed.stderr);
    for state in listed.text().lines() {
        prop_assert!(["created", "stopped", "failed"].contains(&state), "{state} after a power cut");
    }
    let pruned = a3s(&["prune", "-f"]);
    prop_assert_eq!(pruned.code, 0, "{}", pruned.stderr);
    prop_assert!(folders(home).is_empty(), "left: {:?}", folders(home));
    let left: Vec<_> = fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".tmp-"))
        .collect();
    prop_assert!(left.is_empty(), "left: {left:?}");
    Ok(())
}

fn live(steps: &[Step]) -> TestCaseResult {
    let mut world = World { home: Home::new(), model: Model::new() };
    for (at, step) in steps.iter().enumerate() {
        world.run(step).map_err(|e| fail(format!("step {at}, {step:?}: {e}")))?;
    }
    // What killed commands have left is gone after the next that changes anything.
    world.home.a3s(&["create", "--name", "last", "busybox"]).run().ok();
    let records = world.home.a3s(&["ps", "-aq", "--no-trunc"]).run().ok();
    let records: BTreeSet<String> = records.lines().map(str::to_owned).collect();
    prop_assert_eq!(folders(world.home.path()), records);
    Ok(())
}

#[test]
fn boxes_are_what_a_model_of_them_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps = usize::try_from(number("A3S_TEST_STEPS").unwrap_or(60)).unwrap();
    let seed = number("A3S_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 0xb0c5);
    println!("A3S_TEST_SEED={seed}");
    let config = Config {
        cases: 1,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let sequence = proptest::collection::vec(step(), steps..=steps);
    match TestRunner::new(config).run(&sequence, |steps| live(&steps)) {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => panic!("A3S_TEST_SEED={seed}: {why}\nafter {steps:#?}"),
        Err(error) => panic!("A3S_TEST_SEED={seed}: {error}"),
    }
}
