//! `shell`: the best shell that a running box has.

use super::exec::converse;
use crate::box_args::environment;
use crate::console;
use crate::detach::{self, DetachKeys};
use a3s_box_core::Result;
use a3s_box_runtime::{Engine, ExecConfig};
use clap::Args;

/// Takes the first of those that people like to type at.
const BEST: &str = "for s in bash zsh fish ash; do command -v $s >/dev/null 2>&1 && exec $s; done; exec sh";

#[derive(Args)]
pub(crate) struct Shell {
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Working directory inside the box
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User inside the box, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Keys that leave the shell running
    #[arg(long, default_value = detach::DEFAULT, value_name = "KEYS")]
    detach_keys: DetachKeys,
    /// Box, by name or id
    #[arg(value_name = "BOX")]
    name: String,
}

impl Shell {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        // Lines from a pipe make a script, and that needs no terminal.
        let tty = console::stdin_is_terminal();
        let config = ExecConfig {
            args: ["sh", "-c", BEST].map(str::to_owned).into(),
            env: environment(&self.env, &[])?,
            workdir: self.workdir,
            user: self.user,
            tty: tty.then(|| console::size().unwrap_or_default()),
            stdin: true,
        };
        let session = engine.exec(&self.name, config).await?;
        converse(session, true, tty, self.detach_keys).await
    }
}
