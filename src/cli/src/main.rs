//! `a3s-box`: the command line.
//!
//! Owns argument parsing, what is printed, and exit codes; everything else is the runtime's. A command `v` is
//! read and printed in `commands/v.rs` and done by `Engine::v`.
#![forbid(unsafe_code)]

mod boundary;
mod box_args;
mod box_file;
mod box_row;
mod commands;
mod complete;
mod console;
mod detach;
mod docker;
mod failure;
mod file;
mod guest_args;
mod health_args;
#[cfg(test)]
mod manual;
mod network_args;
mod policy_args;
mod progress;
#[cfg(test)]
mod reference;
mod stream;
mod table;
mod template;
mod time;
mod trace;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Run untrusted code in a MicroVM of its own.
#[derive(Parser)]
#[command(name = "a3s-box", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let begin = time::now();
    let words = match box_file::expand(Cli::command, std::env::args_os().collect()) {
        Ok(words) => words,
        Err(error) => return failure::report(&error),
    };
    let cli = match Cli::try_parse_from(words.words) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, words.file.as_deref()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match cli.command.run(begin) {
        Ok(code) => ExitCode::from(code),
        Err(error) => failure::report(&error),
    }
}
