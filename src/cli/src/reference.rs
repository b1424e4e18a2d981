//! `docs/cli.md` is what the definition of the command line says. `A3S_REGENERATE=1 cargo test -p a3s-box-cli`
//! writes it anew.

use crate::{Cli, docker};
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

const HEAD: &str = "# Commands

Written from the definition of the command line; `a3s-box COMMAND --help` says the same. A box is named by its name,
its id, or a prefix that only its id has. A job is named `BOX%NUMBER`, which no box can be called.
";

const TAIL: &str = "## Environment

| variable | means |
|---|---|
| `A3S_HOME` | the state directory, in place of `~/.a3s` |
| `A3S_BOX_KERNEL_DIR` | the folder of the guest's `vmlinux` and `initramfs.cpio`, in place of those installed |
| `A3S_BOX_QEMU` | the QEMU program, in place of the one in `PATH` |
| `DOCKER_CONFIG` | the folder of Docker's `config.json`, in place of `~/.docker` |
| `RUST_LOG` | what is logged on standard error, such as `debug` or `a3s_box_runtime=trace` |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | the proxy for registries |

## Exit codes

125: A3S Box failed. 126: the command cannot be executed. 127: the command is not there. 128+n: signal n ended it.
Every other code is the command's own.
";

#[test]
fn the_reference_matches_the_definition() {
    let mut text = HEAD.to_owned();
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
        section(&mut text, command);
    }
    text.push('\n');
    text.push_str(TAIL);
    text.push('\n');
    text.push_str(&docker::section(&cli));
    // From the package, where cargo runs tests.
    let path = "../../docs/cli.md";
    if std::env::var_os("A3S_REGENERATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let old = std::fs::read_to_string(path).unwrap_or_default();
    assert!(old == text, "docs/cli.md is stale: run A3S_REGENERATE=1 cargo test -p a3s-box-cli");
}

fn section(text: &mut String, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(text, "\n## {}\n\n{about}.\n\n```text\n{usage}\n```\n", title(command)).unwrap();
    let options: Vec<&Arg> =
        command.get_arguments().filter(|a| !a.is_positional() && a.get_id() != "help").collect();
    if !options.is_empty() {
        text.push_str("\n| option | means |\n|---|---|\n");
    }
    for option in options {
        writeln!(text, "| {} | {} |", names(option), meaning(option)).unwrap();
    }
    for command in command.get_subcommands().filter(|c| c.get_name() != "help") {
        section(text, command);
    }
}

/// The command's name, after that of the command that it belongs to.
fn title(command: &Command) -> &str {
    let full = command.get_bin_name().unwrap_or_else(|| command.get_name());
    full.strip_prefix("a3s-box ").unwrap_or(full)
}

fn names(option: &Arg) -> String {
    let short = option.get_short().map(|c| format!("-{c}"));
    let long = option.get_long().map(|name| format!("--{name}"));
    let mut names: Vec<String> = [short, long].into_iter().flatten().collect();
    if option.get_action().takes_values()
        && let Some(last) = names.last_mut()
    {
        let value =
            option.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
        last.push(' ');
        last.push_str(value);
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn meaning(option: &Arg) -> String {
    let mut meaning = option.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = option.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if option.get_action().takes_values() && !defaults.is_empty() {
        write!(meaning, "; {} by default", defaults.join(" ")).unwrap();
    }
    if let Some(variable) = option.get_env() {
        write!(meaning, "; `{}` sets it too", variable.to_string_lossy()).unwrap();
    }
    meaning
}
