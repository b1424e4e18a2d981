//! `run -f box.toml`: a box's options in a file, by the long names that they have on the command line.
//!
//! What the file says becomes words of the command line, in front of those that are there, so that an option is known
//! here as soon as it is there, and means the same. Called before the command line is read.

use crate::file::read_text;
use a3s_box_core::{BoxError, ErrorKind, Result, did_you_mean};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A box file longer than this is none.
const MAX_FILE: u64 = 1 << 20;
/// What is in a box file beside options.
const IMAGE: &str = "image";
const COMMAND: &str = "command";
/// Rules of which the first that matches decides: those of the command line come before those of the file.
const FIRST_DECIDES: [&str; 4] = ["allow-host", "deny-host", "allow-net", "deny-net"];

/// The words of a command line, and the box file that some of them are from.
pub(crate) struct Words {
    pub(crate) words: Vec<OsString>,
    pub(crate) file: Option<PathBuf>,
}

/// `words` with those of the box file that they name, if they name one; `cli` is the definition of the command line.
///
/// # Errors
/// Those of reading the file; `InvalidInput`, with the line, for what is none of a box's options.
pub(crate) fn expand(cli: fn() -> Command, words: Vec<OsString>) -> Result<Words> {
    // Most command lines name none, and need not be read twice.
    let may = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with('-') && word.contains('f'));
    if !words.get(1).is_some_and(|word| word == "run" || word == "create") || !words.iter().any(may) {
        return Ok(Words { words, file: None });
    }
    let cli = &cli();
    let named = cli.clone().try_get_matches_from(&words).ok();
    let found =
        named.as_ref().and_then(ArgMatches::subcommand).filter(|(name, _)| ["run", "create"].contains(name));
    let file =
        found.and_then(|(name, matches)| Some((name, matches, matches.get_one::<PathBuf>("file")?.clone())));
    let Some((name, matches, file)) = file else { return Ok(Words { words, file: None }) };
    let said = File::read(cli, &file)?;
    let given = matches.get_many::<String>("image_and_command").map_or(0, Iterator::count);
    let command =
        cli.find_subcommand(name).ok_or_else(|| BoxError::new(ErrorKind::Internal, "no such command"))?;
    let on_command_line = |option: &str| {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(option));
        arg.is_some_and(|arg| {
            let once = !matches!(arg.get_action(), ArgAction::Append);
            once && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        })
    };
    let (mut options, image) = words.split_at(words.len() - given);
    while let Some((last, rest)) = options.split_last().filter(|(last, _)| *last == "--") {
        debug_assert_eq!(last, "--");
        options = rest;
    }
    let (program, options) = options.split_at(2.min(options.len()));
    let option = |(name, word): &(String, String)| (!on_command_line(name)).then(|| OsString::from(word));
    let (late, early): (Vec<_>, Vec<_>) =
        said.options.iter().partition(|(name, _)| FIRST_DECIDES.contains(&name.as_str()));
    let mut all: Vec<OsString> = program.to_vec();
    all.extend(early.into_iter().filter_map(option));
    all.extend_from_slice(options);
    all.extend(late.into_iter().filter_map(option));
    if given > 0 {
        all.extend_from_slice(image);
    } else {
        all.extend(said.image.into_iter().chain(said.command).map(OsString::from));
    }
    Ok(Words { words: all, file: Some(file) })
}

/// What a box file says.
#[derive(Debug, Default, PartialEq)]
struct File {
    image: Option<String>,
    command: Vec<String>,
    /// Options by name, and the word of the command line that each is.
    options: Vec<(String, String)>,
}

impl File {
    fn read(cli: &Command, path: &Path) -> Result<Self> {
        let text = read_text("box file", path, MAX_FILE)?;
        Self::parse(cli, &text).map_err(|Fault { at, what, hint }| {
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            BoxError::new(ErrorKind::InvalidInput, format!("{}:{line}: {what}", path.display()))
                .with_hint(hint)
        })
    }

    fn parse(cli: &Command, text: &str) -> Result<Self, Fault> {
        // Both commands take it, so it holds what both know.
        let known: Vec<&Arg> = cli
            .find_subcommand("create")
            .into_iter()
            .flat_map(Command::get_arguments)
            .filter(|arg| arg.get_long().is_some_and(|long| !["file", "help"].contains(&long)))
            .collect();
        let table = DeTable::parse(text).map_err(|error| {
            Fault::new(error.span().map_or(0, |span| span.start), error.message(), "see docs/config.md")
        })?;
        let mut file = Self::default();
        for (key, value) in table.get_ref() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            let option = known.iter().find(|arg| arg.get_long() == Some(name));
            match (name, option) {
                (IMAGE, _) => file.image = Some(text_of(value).ok_or_else(|| Fault::text(at, name))?),
                (COMMAND, _) => {
                    let words = value.get_ref().as_array().ok_or_else(|| Fault::list(at, name))?;
                    let words = words.iter().map(|word| text_of(word).ok_or_else(|| Fault::text(at, name)));
                    file.command = words.collect::<Result<_, _>>()?;
                }
                (_, Some(option)) => {
                    let words = words(name, option, value, at)?;
                    file.options.extend(words.into_iter().map(|word| (name.to_owned(), word)));
                }
                (_, None) => {
                    let names = known.iter().filter_map(|arg| arg.get_long()).chain([IMAGE, COMMAND]);
                    let meant = did_you_mean(name, names);
                    let hint = "a box file has the long options of `a3s-box create`, `image` and `command`";
                    return Err(Fault::new(at, format!("unknown key {name:?}{meant}"), hint));
                }
            }
        }
        Ok(file)
    }
}

/// The words of the command line for an option and its value.
fn words(name: &str, option: &Arg, value: &Spanned<DeValue<'_>>, at: usize) -> Result<Vec<String>, Fault> {
    let word = |text: &str| format!("--{name}={text}");
    let repeats = matches!(option.get_action(), ArgAction::Append);
    // What is written NAME=VALUE there may be a table here.
    let pairs = option.get_value_names().into_iter().flatten().any(|name| name.contains('='));
    match value.get_ref() {
        DeValue::Boolean(given) if !option.get_action().takes_values() => {
            Ok(given.then(|| format!("--{name}")).into_iter().collect())
        }
        _ if !option.get_action().takes_values() => {
            Err(Fault::new(at, format!("{name} is true or false"), "write it without quotes"))
        }
        DeValue::Array(values) if repeats => values
            .iter()
            .map(|value| text_of(value).map(|text| word(&text)).ok_or_else(|| Fault::text(at, name)))
            .collect(),
        DeValue::Table(table) if repeats && pairs => table
            .iter()
            .map(|(key, value)| {
                let text = text_of(value).or_else(|| value.get_ref().as_bool().map(|is| is.to_string()));
                let text = text.ok_or_else(|| Fault::text(key.span().start, key.get_ref()))?;
                Ok(word(&format!("{}={text}", key.get_ref())))
            })
            .collect(),
        DeValue::Array(_) => {
            Err(Fault::new(at, format!("{name} has one value"), "write it without brackets"))
        }
        _ => Ok(vec![word(&text_of(value).ok_or_else(|| Fault::text(at, name))?)]),
    }
}

/// A text or a number, as it would be written on the command line.
fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What is wrong, and where.
struct Fault {
    at: usize,
    what: String,
    hint: &'static str,
}

impl Fault {
    fn new(at: usize, what: impl Into<String>, hint: &'static str) -> Self {
        Self { at, what: what.into(), hint }
    }

    fn text(at: usize, name: &str) -> Self {
        Self::new(
            at,
            format!("{name} is no text or number"),
            "write the value as on the command line, in quotes",
        )
    }

    fn list(at: usize, name: &str) -> Self {
        Self::new(at, format!("{name} is no list"), "write [\"program\", \"argument\"]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn words_of(words: &[&str], text: &str) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let words = words.iter().map(|word| if *word == "FILE" { path } else { word }).map(OsString::from);
        let all = expand(crate::Cli::command, words.collect())?.words.into_iter();
        Ok(all.map(|word| word.into_string().unwrap().replace(path, "FILE")).collect())
    }

    #[test]
    fn every_option_of_a_box_can_be_in_its_file() {
        let cli = crate::Cli::command();
        let create = cli.find_subcommand("create").unwrap();
        let mut count = 0;
        for arg in create.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| long != "file")) {
            let long = arg.get_long().unwrap();
            let value = if arg.get_action().takes_values() { "\"x\"" } else { "true" };
            let file = File::parse(&cli, &format!("{long} = {value}\n")).map_err(|fault| fault.what).unwrap();
            let word = if value == "true" { format!("--{long}") } else { format!("--{long}=x") };
            assert_eq!(file.options, [(long.to_owned(), word)]);
            count += 1;
        }
        assert!(count > 50, "{count}");
    }

    #[test]
    fn the_command_line_goes_over_the_file() {
        let text = "image = \"alpine\"\ncommand = [\"sleep\", \"1\"]\nmemory = \"1g\"\ncpus = 0.5\nrm = true\ntty = false\n\
                    allow-host = [\"a.example\"]\n[env]\nA = 1\nB = \"two\"\n";
        let all = |words: &[&str]| words_of(words, text).unwrap().join(" ");
        assert_eq!(
            all(&["a3s-box", "run", "-f", "FILE"]),
            "a3s-box run --cpus=0.5 --env=A=1 --env=B=two --memory=1g --rm -f FILE --allow-host=a.example alpine sleep 1"
        );
        assert_eq!(
            all(&[
                "a3s-box",
                "create",
                "-m",
                "2g",
                "--rm",
                "-e",
                "A=3",
                "--allow-host",
                "b",
                "-f",
                "FILE",
                "busybox"
            ]),
            "a3s-box create --cpus=0.5 --env=A=1 --env=B=two -m 2g --rm -e A=3 --allow-host b -f FILE \
             --allow-host=a.example busybox"
        );
        assert_eq!(all(&["a3s-box", "ps", "-a"]), "a3s-box ps -a");
    }

    #[test]
    fn what_is_no_option_is_refused_with_its_line() {
        for (text, what) in [
            ("image = \"x\"\nmemroy = \"1g\"\n", ":2: unknown key \"memroy\"; did you mean \"memory\"?"),
            ("detach = true\n", ":1: unknown key \"detach\""),
            ("file = \"x\"\n", ":1: unknown key \"file\""),
            ("rm = \"yes\"\n", ":1: rm is true or false"),
            ("\n\nmemory = [\"1g\"]\n", ":3: memory has one value"),
            ("command = \"sh -c x\"\n", ":1: command is no list"),
            ("env = [[1]]\n", ":1: env is no text"),
            ("memory = \n", ":1: "),
            ("a = 1\na = 2\n", ":2: "),
        ] {
            let error = words_of(&["a3s-box", "run", "-f", "FILE"], text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
