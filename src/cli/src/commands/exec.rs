//! `exec`: a further process in a running box.

use crate::box_args::{environment, split};
use crate::console::{self, RawMode};
use crate::failure::exit_code;
use crate::stream::{self, Target};
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_runtime::{Engine, ExecConfig, ExecEvent};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
#[command(override_usage = "a3s-box exec [OPTIONS] BOX COMMAND [ARG]...")]
pub(crate) struct Exec {
    /// Leave the command running
    #[arg(short, long)]
    detach: bool,
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
        let interactive = self.interactive && !self.detach;
        if self.tty && interactive && !console::stdin_is_terminal() {
            return Err(BoxError::new(ErrorKind::InvalidInput, "standard input is not a terminal")
                .with_hint("leave -t out where input comes from a file or a pipe"));
        }
        let (name, args) = split(self.box_and_command);
        let config = ExecConfig {
            args,
            env: environment(&self.env, &self.env_file)?,
            workdir: self.workdir,
            user: self.user,
            tty: self.tty.then(|| console::size().unwrap_or_default()),
            stdin: interactive,
        };
        let mut session = engine.exec(&name, config).await?;
        let _raw = if self.tty && interactive { Some(RawMode::enter()?) } else { None };
        let feed = tokio::spawn(console::feed(session.input(), interactive, self.tty));
        let code = loop {
            let reading = match session.next().await? {
                ExecEvent::Started(_) if self.detach => break 0,
                ExecEvent::Started(_) => true,
                ExecEvent::Stdout(bytes) => stream::write(Target::Stdout, &bytes)?,
                ExecEvent::Stderr(bytes) => stream::write(Target::Stderr, &bytes)?,
                ExecEvent::Exited(status) => break exit_code(status.code),
                ExecEvent::Failed(code, message) => {
                    eprintln!("error: {message}");
                    break exit_code(code);
                }
            };
            if !reading {
                break stream::BROKEN_PIPE;
            }
        };
        feed.abort();
        Ok(code)
    }
}
