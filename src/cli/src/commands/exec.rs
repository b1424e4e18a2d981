//! `exec`: a further process in a running box.

use crate::box_args::{environment, split};
use crate::console::{self, Detached, RawMode};
use crate::detach::{self, DetachKeys};
use crate::docker;
use crate::failure::exit_code;
use crate::stream::{self, Target};
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_runtime::{Engine, ExecConfig, ExecEvent, ExecSession, JobStart};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
#[command(override_usage = "a3s-box exec [OPTIONS] BOX COMMAND [ARG]...")]
pub(crate) struct Exec {
    /// Leave the command running, as a job whose name is printed
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the command running
    #[arg(long, default_value = detach::DEFAULT, value_name = "KEYS")]
    detach_keys: DetachKeys,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory inside the box
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User inside the box, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Box, by name or id, and the command
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "BOX COMMAND")]
    box_and_command: Vec<String>,
}

impl Exec {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        if self.tty && self.interactive && !self.detach && !console::stdin_is_terminal() {
            return Err(BoxError::new(ErrorKind::InvalidInput, "standard input is not a terminal")
                .with_hint("leave -t out where input comes from a file or a pipe"));
        }
        let (name, args) = split(self.box_and_command);
        docker::refuse_option("exec", &name)?;
        let config = ExecConfig {
            args,
            env: environment(&self.env, &self.env_file)?,
            workdir: self.workdir,
            user: self.user,
            tty: self.tty.then(|| console::size().unwrap_or_default()),
            stdin: self.interactive,
        };
        if self.detach {
            return match engine.start_job(&name, config).await? {
                JobStart::Running(job) => stream::line(&job).map(|()| 0),
                JobStart::Failed(code, message) => Ok(failed(code, &message)),
            };
        }
        let session = engine.exec(&name, config).await?;
        converse(session, self.interactive, self.tty, self.detach_keys).await
    }
}

/// Stays with a process until its end, or until the user leaves it; the exit code.
pub(super) async fn converse(
    mut session: ExecSession,
    interactive: bool,
    tty: bool,
    keys: DetachKeys,
) -> Result<u8> {
    let raw = if tty && interactive { Some(RawMode::enter()?) } else { None };
    let mut feed = tokio::spawn(console::feed(session.input(), interactive, tty, Some(keys)));
    let code = loop {
        let event = tokio::select! {
            event = session.next() => event?,
            Ok(Detached) = &mut feed => {
                drop(raw);
                eprintln!("read escape sequence");
                return Ok(0);
            }
        };
        let reading = match event {
            ExecEvent::Started(_) => true,
            ExecEvent::Stdout(bytes) => stream::write(Target::Stdout, &bytes)?,
            ExecEvent::Stderr(bytes) => stream::write(Target::Stderr, &bytes)?,
            ExecEvent::Exited(status) => break exit_code(status.code),
            ExecEvent::Failed(code, message) => break failed(code, &message),
        };
        if !reading {
            break stream::BROKEN_PIPE;
        }
    };
    feed.abort();
    Ok(code)
}

/// Says why a program could not be started; the exit code for that.
fn failed(code: i32, message: &str) -> u8 {
    eprintln!("error: {message}");
    exit_code(code)
}
