//! Every option of every command, as `docs/cli.md` has them, with nonsense for its value: refused by name, and nothing
//! is made.

use crate::harness::{Home, Out};
use std::fs;
use std::path::PathBuf;

const REFERENCE: &str = include_str!("../../docs/cli.md");

/// The words that a command needs beside its options, which are only read.
const WORDS: &[(&str, &[&str])] = &[
    ("attach", &["made"]),
    ("boot", &["--down"]),
    ("commit", &["made"]),
    ("create", &["busybox", "true"]),
    ("df", &[]),
    ("doctor", &[]),
    ("events", &["--until", "0"]),
    ("exec", &["made", "true"]),
    ("export", &["made"]),
    ("history", &["busybox"]),
    ("images", &[]),
    ("info", &[]),
    ("inspect", &["made"]),
    ("jobs", &["made"]),
    ("kill", &["made"]),
    ("load", &[]),
    ("login", &["--username", "x", "--password-stdin", "127.0.0.1:1"]),
    ("logs", &["made"]),
    ("network ls", &[]),
    ("prune", &["-f"]),
    ("ps", &[]),
    ("pull", &["127.0.0.1:1/x"]),
    ("restart", &["none"]),
    ("run", &["busybox", "true"]),
    ("save", &["none"]),
    ("shell", &["made"]),
    ("signal", &["made%1"]),
    ("start", &["none"]),
    ("stats", &["--no-stream"]),
    ("stop", &["none"]),
    ("top", &["made"]),
    ("update", &["made"]),
    ("version", &[]),
    ("volume create", &["vol"]),
    ("volume ls", &[]),
];

/// Options that take any text: what is wrong with it shows inside the box, or not at all.
const FREE: &[&str] = &[
    "author",
    "entrypoint",
    "env",
    "format",
    "group-add",
    "health-cmd",
    "label",
    "message",
    "user",
    "username",
    "workdir",
];

/// What is nonsense for most options, but not for these.
const SENSE: &[(&str, &str)] = &[
    ("allow-host", "1e99"),
    ("deny-host", "1e99"),
    ("detach-keys", " "),
    ("hostname", "1e99"),
    ("hostname", "99999999999999999999"),
    ("name", "1e99"),
    ("name", "99999999999999999999"),
    ("pids-limit", "-1"),
    ("tag", "1e99"),
    ("tag", "99999999999999999999"),
    ("tmpfs", "/no/such\nfile"),
];

/// Options that name a file: what cannot be one is refused by the name of the file.
const FILES: &[&str] =
    &["env-file", "file", "input", "label-file", "net-learn", "net-policy", "output", "verify"];
/// What no file can be called here.
const NO_FILES: &[&str] = &["", "=,:;/../", "/no/such\nfile"];

/// Nonsense for a number, a size, a name, a file, a filter.
fn nonsense() -> Vec<String> {
    let texts =
        ["", " ", "-1", "1e99", "99999999999999999999", "\u{1b}[31mred", "💥", "=,:;/../", "/no/such\nfile"];
    texts.iter().map(|text| (*text).to_owned()).chain(["x".repeat(70_000)]).collect()
}

/// The options of a command that take a value: how each is called.
type Options = Vec<Vec<String>>;

/// All commands that have any.
fn commands() -> Vec<(String, Options)> {
    let mut commands: Vec<(String, Options)> = Vec::new();
    let part = REFERENCE.split("## Environment").next().unwrap();
    for line in part.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            commands.push((name.to_owned(), Vec::new()));
        }
        let Some(names) = line.strip_prefix("| `-").and_then(|rest| rest.split(" | ").next()) else {
            continue;
        };
        let names: Vec<&str> = names.trim_end_matches('`').split("`, `").collect();
        if names.last().unwrap().contains(' ') {
            let bare =
                names.iter().map(|name| name.split(' ').next().unwrap().trim_start_matches('-').to_owned());
            commands.last_mut().unwrap().1.push(bare.collect());
        }
    }
    commands.retain(|(_, options)| !options.is_empty());
    commands
}

/// What is there of boxes, images, networks and volumes.
fn things(home: &Home) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in ["boxes", "volumes", "networks", "images/blobs/sha256", "rootfs", "disks"] {
        let entries = fs::read_dir(home.path().join(dir)).into_iter().flatten();
        found.extend(entries.map(|entry| entry.unwrap().path()));
    }
    found.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with(".lock"));
    found.sort();
    found
}

fn complaint(out: &Out, names: &[String], value: &str) -> Option<String> {
    if out.code != 125 {
        return Some(format!("it ended with {}: {}{}", out.code, out.text(), out.stderr));
    }
    let first = out.stderr.lines().next().unwrap_or_default();
    if !first.starts_with("error: ") || out.stderr.contains("panicked") || out.stderr.contains('\u{1b}') {
        return Some(format!("it said {:?}", out.stderr));
    }
    // By the option, or by what it is about in words.
    let said = out.stderr.to_lowercase();
    let quoted = format!("{value:?}");
    let quoted = quoted.trim_matches('"');
    let of_file = FILES.contains(&names.last().unwrap().as_str()) && !value.is_empty();
    let of_file =
        of_file && (out.stderr.contains(value) || out.stderr.contains(quoted) || value.len() > 1000);
    let named = of_file
        || names.iter().any(|name| match name.len() {
            1 => said.contains(&format!("'-{name}")),
            _ => {
                said.contains(name.as_str())
                    || name.split('-').any(|word| word.len() > 3 && said.contains(word))
            }
        });
    let short = value.len() < 1000 || out.stderr.len() < 2000;
    (!named || !short).then(|| format!("it said {:?}", out.stderr.chars().take(2000).collect::<String>()))
}

#[test]
fn nonsense_is_refused_by_every_option() {
    let home = Home::new();
    home.a3s(&["create", "--name", "made", "busybox"]).run().ok();
    let mut before = (things(&home), fs::read(home.path().join("boxes.json")).unwrap());
    let commands = commands();
    let known: usize = commands.iter().map(|(_, options)| options.len()).sum();
    assert!(commands.len() > 25 && known > 120, "{known} options of {} commands were read", commands.len());
    let of = |name: &str| &commands.iter().find(|(command, _)| command == name).unwrap().1;
    let mut complaints = Vec::new();
    for (command, options) in &commands {
        let words = WORDS.iter().find(|(name, _)| name == command);
        let (_, words) = words.unwrap_or_else(|| panic!("no words for {command}: they are in this file"));
        for names in options {
            let long = names.last().unwrap();
            // What `create` has too is the same there.
            let shared = command == "run" && of("create").contains(names);
            if shared || FREE.contains(&long.as_str()) {
                continue;
            }
            for value in nonsense() {
                let file = FILES.contains(&long.as_str());
                let sense = file && value.len() < 1000 && !NO_FILES.contains(&value.as_str());
                if sense || SENSE.contains(&(long.as_str(), value.as_str())) {
                    continue;
                }
                let option = format!("--{long}={value}");
                let args: Vec<&str> =
                    command.split(' ').chain([option.as_str()]).chain(words.iter().copied()).collect();
                let out = home.a3s(&args).within(home.path()).run();
                if let Some(complaint) = complaint(&out, names, &value) {
                    let value: String = value.chars().take(40).collect();
                    complaints.push(format!("{command} --{long}={value:?}: {complaint}"));
                }
                let after = (things(&home), fs::read(home.path().join("boxes.json")).unwrap());
                if after != before {
                    complaints.push(format!("{command} --{long}={value:?} made something"));
                    before = after;
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
