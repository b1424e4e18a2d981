//! `docs/man/` holds a manual page for every command, worked out from the definition of the command line.
//! `A3S_REGENERATE=1 cargo test -p a3s-box-cli` writes them anew.

use crate::Cli;
use clap::{Command, CommandFactory};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command as Program, Stdio};

/// From the package, where cargo runs tests.
const DIR: &str = "../../docs/man";

/// All pages, by the name of their file.
fn pages() -> BTreeMap<String, String> {
    let mut cli = Cli::command();
    cli.build();
    let mut pages = BTreeMap::new();
    add(&mut pages, &cli, "a3s-box");
    pages
}

fn add(pages: &mut BTreeMap<String, String>, command: &Command, name: &str) {
    let inner = || command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set());
    for command in inner() {
        add(pages, command, &format!("{name}-{}", command.get_name()));
    }
    // A page names the pages of its commands as they are called here, and says of the environment what this one has.
    let shown = command
        .clone()
        // A definition keeps its names for as long as the program runs; this is a test.
        .name(&*name.to_owned().leak())
        .display_name(name)
        .disable_help_subcommand(true)
        .mut_args(|arg| arg.hide_env_values(true));
    let man = clap_mangen::Man::new(shown).section("1").source("A3S Box").manual("A3S Box").date("");
    let mut page = Vec::new();
    man.render(&mut page).unwrap();
    let mut page = String::from_utf8(page).unwrap();
    // `help` has no page, and needs none.
    if let Some(at) = page.find("\\-help(1)\n") {
        let begin = page[..at].rfind(".TP\n").unwrap();
        let end = at + page[at..].match_indices('\n').nth(1).unwrap().0 + 1;
        page.replace_range(begin..end, "");
    }
    if let Some((parent, _)) = name.rsplit_once('-').filter(|_| name != "a3s-box") {
        page.push_str(&format!(".SH SEE ALSO\n\\fB{}\\fR(1)\n", parent.replace('-', "\\-")));
    }
    pages.insert(format!("{name}.1"), page);
}

#[test]
fn the_manual_matches_the_definition() {
    let pages = pages();
    let dir = Path::new(DIR);
    if std::env::var_os("A3S_REGENERATE").is_some() {
        drop(std::fs::remove_dir_all(dir));
        std::fs::create_dir(dir).unwrap();
        for (name, page) in &pages {
            std::fs::write(dir.join(name), page).unwrap();
        }
    }
    let there: BTreeMap<String, String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(there == pages, "docs/man is stale: run A3S_REGENERATE=1 cargo test -p a3s-box-cli");
}

/// Where groff is installed, it has to find no fault with any page.
#[test]
fn the_manual_is_well_formed() {
    for (name, page) in pages() {
        let groff = Program::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-rLL=100n", "-z"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut groff) = groff else { return };
        std::io::Write::write_all(&mut groff.stdin.take().unwrap(), page.as_bytes()).unwrap();
        let out = groff.wait_with_output().unwrap();
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}
