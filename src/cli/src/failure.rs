//! How an error reaches the user: once, here, with its causes and what to do next.

use a3s_box_core::BoxError;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The exit code of every failure of ours, as Docker's.
pub(crate) const OURS: u8 = 125;

/// A word that is longer is cut short where it is repeated: it is for its owner to recognise.
const LONGEST: usize = 300;

/// Prints `error` and gives the exit code for it.
pub(crate) fn report(error: &BoxError) -> ExitCode {
    let mut text = format!("error: {}", error.with_causes());
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    eprintln!("{}", plain(&text));
    ExitCode::from(OURS)
}

/// Prints what is wrong with the command line, of which some may be from `file`, or the help that was asked for, and
/// gives the exit code for it.
pub(crate) fn usage(error: &clap::Error, file: Option<&Path>) -> ExitCode {
    if !error.use_stderr() {
        // Help and version are no failures.
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    let mut text = error.render().ansi().to_string();
    // What clap does not print: what to write instead.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<BoxError>());
    if let Some(hint) = cause.and_then(BoxError::hint) {
        text.push_str("hint: ");
        text.push_str(hint);
        text.push('\n');
    }
    if let Some(file) = file {
        text.push_str(&format!("hint: some of these options are from {}\n", file.display()));
    }
    // Styled on a terminal alone, and never where NO_COLOR is set.
    drop(anstream::stderr().write_all(shortened(&text).as_bytes()));
    ExitCode::from(OURS)
}

/// `text` as it may be shown: what a user or a registry calls things must not steer the terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    shortened(&text.chars().map(shown).collect::<String>())
}

/// `text` with its endless words cut short.
fn shortened(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match word.char_indices().nth(LONGEST) {
            None => short.push_str(word),
            Some(_) => {
                let (begin, end) = (word.char_indices().nth(LONGEST / 2), word.char_indices().nth_back(20));
                let (begin, end) = (begin.map_or(0, |(at, _)| at), end.map_or(0, |(at, _)| at));
                short.push_str(&word[..begin]);
                short.push('…');
                short.push_str(&word[end..]);
            }
        }
    }
    short
}

/// The byte that a process can exit with, for an exit code from a box.
pub(crate) fn exit_code(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_steers_no_terminal_and_fills_none() {
        assert_eq!(plain("error: \u{1b}[31mred\nhint: é"), "error: \\u{1b}[31mred\nhint: é");
        let long = "é".repeat(70_000);
        let short = plain(&format!("invalid {long:?} for '--x'"));
        assert!(short.starts_with("invalid \"éé") && short.ends_with("é\" for '--x'"), "{short}");
        assert!(short.chars().count() < 250, "{short}");
    }
}
