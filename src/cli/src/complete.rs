//! What can come next on a command line: commands, options, their values, and the names of what there is.
//!
//! Worked out from the definition of the command line by the hidden verb `__complete`, which the scripts of
//! `completion` ask at every press of the key, so that no script knows a command or an option.

use a3s_box_core::{BoxState, Result};
use a3s_box_runtime::Engine;
use clap::{Arg, ArgAction, Command};

/// What may come, and whether files may come beside it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// Words, each with what it means.
    pub(crate) words: Vec<(String, String)>,
    /// Whether the shell is to offer files.
    pub(crate) files: bool,
}

/// What can stand in place of the last of `words`, which come after the program's name, for the definition `cli`.
pub(crate) fn complete(cli: &Command, words: &[String], engine: &Engine) -> Candidates {
    let (current, before) = words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
    let mut command = cli;
    let mut positional = 0;
    let mut rest = before.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if word == "--" {
            positional += rest.count();
            return Candidates::default().with_values(
                command.get_positionals().nth(positional),
                current,
                engine,
            );
        }
        if let Some(option) = option(command, word) {
            if takes_value(option) && !word.contains('=') && !has_glued_value(word) && rest.next().is_none() {
                return Candidates::default().with_values(Some(option), current, engine);
            }
        } else if let Some(inner) = command.find_subcommand(word) {
            (command, positional) = (inner, 0);
        } else if !word.starts_with('-') {
            positional += 1;
            if command.get_positionals().any(Arg::is_trailing_var_arg_set) {
                // The rest is a command of the box, which this host does not know.
                return Candidates::default();
            }
        }
    }
    if let Some((name, value)) = current.split_once('=')
        && let Some(option) = option(command, name)
    {
        let mut found = Candidates::default().with_values(Some(option), value, engine);
        found.words.iter_mut().for_each(|(word, _)| *word = format!("{name}={word}"));
        return found;
    }
    let mut found = Candidates::default();
    if current.starts_with('-') {
        found.words = options(command);
    } else if command.has_subcommands() {
        let commands = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help");
        found.words = commands.map(|c| (c.get_name().to_owned(), about(c.get_about()))).collect();
    } else {
        // The last one may come again and again.
        let all: Vec<&Arg> = command.get_positionals().collect();
        let arg = all.get(positional).or(all.last()).copied();
        found = found.with_values(arg.filter(|arg| positional < all.len() || repeats(arg)), current, engine);
        found.narrow(command.get_name());
    }
    found.words.retain(|(word, _)| word.starts_with(current));
    found
}

impl Candidates {
    /// Adds the values of `arg` that begin with `current`.
    fn with_values(mut self, arg: Option<&Arg>, current: &str, engine: &Engine) -> Self {
        let Some(arg) = arg else { return self };
        let possible = arg.get_possible_values();
        let named = |word: &str| (word.to_owned(), String::new());
        self.words
            .extend(possible.iter().map(|value| (value.get_name().to_owned(), about(value.get_help()))));
        let names = arg.get_value_names().into_iter().flatten().next().map_or("", |name| name.as_str());
        let id = arg.get_id().as_str();
        // A name that cannot be looked up is one that is not offered.
        let look = |names: Result<Vec<(String, String)>>| names.unwrap_or_default();
        for part in names.split(['|', ' ']) {
            match part {
                "BOX" => self.words.extend(look(boxes(engine))),
                "JOB" => self.words.extend(look(jobs(engine))),
                "IMAGE" => self.words.extend(look(images(engine))),
                "NETWORK" => self.words.extend(look(networks(engine))),
                "VOLUME" if id == "names" => self.words.extend(look(volumes(engine))),
                "SOURCE:PATH[:ro]" => {
                    let volumes = look(volumes(engine)).into_iter();
                    self.words.extend(volumes.map(|(name, about)| (name + ":", about)));
                    self.files = true;
                }
                "SOURCE" | "DESTINATION" => {
                    self.words
                        .extend(look(boxes(engine)).into_iter().map(|(name, about)| (name + ":", about)));
                    self.files = true;
                }
                "FILE" | "PATH" | "DIR" | "KEY" => self.files = true,
                "SIGNAL" => {
                    self.words.extend(["HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"].map(named));
                }
                "POLICY" => {
                    self.words.extend(["no", "on-failure", "always", "unless-stopped"].map(named));
                }
                "VMM" => self.words.extend(["auto", "krun", "qemu"].map(named)),
                "ACCEL" => self.words.extend(["auto", "kvm", "hvf", "tcg"].map(named)),
                "FLAVOR" => self.words.extend(["auto", "standard", "cpl3"].map(named)),
                "FORMAT" | "TEMPLATE" if possible.is_empty() => {
                    self.words.extend(["json", "table"].map(named))
                }
                _ => {}
            }
        }
        self.words.retain(|(word, _)| word.starts_with(current));
        self
    }

    /// Leaves of boxes those that `command` can do something with.
    fn narrow(&mut self, command: &str) {
        let wanted: &[BoxState] = match command {
            "start" => &[BoxState::Created, BoxState::Stopped, BoxState::Failed],
            "unpause" => &[BoxState::Paused],
            "exec" | "shell" | "pause" | "top" | "diff" | "export" | "commit" | "jobs" | "stats" => {
                &[BoxState::Running]
            }
            "stop" | "kill" | "attach" => {
                &[BoxState::Starting, BoxState::Running, BoxState::Paused, BoxState::Restarting]
            }
            _ => return,
        };
        let is =
            |about: &str| wanted.iter().any(|state| about.split(", ").next() == Some(&state.to_string()));
        self.words.retain(|(word, about)| word.contains('%') || is(about));
    }
}

/// The option that `word` is, with or without a value.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|arg| match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(long), _) => arg.get_long() == Some(long),
        // Of short options in one word, the last may take a value.
        (None, Some(short)) => !short.is_empty() && arg.get_short() == short.chars().last(),
        (None, None) => false,
    })
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Whether a short option has its value in the same word, which ours are not written with.
fn has_glued_value(word: &str) -> bool {
    !word.starts_with("--") && word.contains('=')
}

fn repeats(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || arg.get_num_args().is_some_and(|n| n.max_values() > 1)
}

fn options(command: &Command) -> Vec<(String, String)> {
    let visible = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    let long = visible.filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help()))));
    long.collect()
}

/// The first sentence, in one line.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.split(['\n', ';']).next().unwrap_or_default().replace('\t', " ")
}

fn boxes(engine: &Engine) -> Result<Vec<(String, String)>> {
    let about = |view: &a3s_box_runtime::BoxView| format!("{}, {}", view.state, view.record.config.image);
    Ok(engine.ps(&[])?.iter().map(|view| (view.record.name.to_string(), about(view))).collect())
}

fn jobs(engine: &Engine) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for view in engine.ps(&[])?.iter().filter(|view| view.state.is_live()) {
        let jobs = engine.jobs(view.record.id.as_str()).unwrap_or_default();
        all.extend(jobs.into_iter().map(|job| (job.job, job.record.args.join(" "))));
    }
    Ok(all)
}

fn images(engine: &Engine) -> Result<Vec<(String, String)>> {
    let named = engine.images(&[])?.into_iter().flatten().filter_map(|image| image.reference);
    Ok(named.map(|name| (name.familiar(), String::new())).collect())
}

fn networks(engine: &Engine) -> Result<Vec<(String, String)>> {
    Ok(engine.networks()?.into_iter().map(|network| (network.name.to_string(), network.subnet4)).collect())
}

fn volumes(engine: &Engine) -> Result<Vec<(String, String)>> {
    Ok(engine
        .volumes()?
        .into_iter()
        .map(|volume| (volume.name.to_string(), volume.size.to_string()))
        .collect())
}
