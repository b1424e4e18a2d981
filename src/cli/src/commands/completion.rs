//! `completion`: the script that completes command lines in a shell; and `__complete`, which it asks.

use crate::Cli;
use crate::complete::complete;
use crate::stream;
use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::{Args, CommandFactory, ValueEnum};

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Args)]
pub(crate) struct Completion {
    /// Shell: bash, zsh or fish
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> Result<u8> {
        let script = match self.shell {
            Shell::Bash => include_str!("../completion/a3s-box.bash"),
            Shell::Zsh => include_str!("../completion/a3s-box.zsh"),
            Shell::Fish => include_str!("../completion/a3s-box.fish"),
        };
        stream::write(stream::Target::Stdout, script.as_bytes()).map(|_| 0)
    }
}

#[derive(Args)]
pub(crate) struct Complete {
    /// Words after the program's name, up to the one that is being typed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    words: Vec<String>,
}

impl Complete {
    /// Prints a candidate a line, a tab and what it means; last, `:files` where files may come, too.
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut cli = Cli::command();
        cli.build();
        let found = complete(&cli, &self.words, engine);
        let clean = |text: &str| text.replace(char::is_control, " ");
        for (word, about) in &found.words {
            stream::line(&format!("{}\t{}", clean(word), clean(about)))?;
        }
        if found.files { stream::line(":files").map(|()| 0) } else { Ok(0) }
    }
}
