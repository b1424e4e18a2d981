//! Completion in real shells, through the scripts that `completion` prints.

use crate::harness::{Home, given, not_here};
use std::process::{Command, Stdio};

/// What pressing the key after `line` offers in bash, sorted.
fn bash(home: &Home, line: &str) -> Vec<String> {
    let script = r#"
        source <(a3s-box completion bash)
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
        # As readline cuts a line: `=` and `:` are words of their own.
        cut=${1//=/ = } cut=${cut//:/ : }
        read -ra COMP_WORDS <<< "$cut"
        [[ $cut == *[[:space:]] && $cut != *[=:]' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _a3s_box a3s-box "${COMP_WORDS[COMP_CWORD]}" ''
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    offered(home, Command::new("bash").args(["--norc", "-c", script, "bash", line]))
}

fn offered(home: &Home, shell: &mut Command) -> Vec<String> {
    let path = format!("{}:{}", given("A3S_TEST_PROGRAMS").display(), std::env::var("PATH").unwrap());
    let out = shell
        .env("PATH", path)
        .env("A3S_HOME", home.path())
        .env("HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let mut words: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    words.sort();
    words
}

fn furnished() -> Home {
    let home = Home::new();
    home.a3s(&["tag", "busybox", "tools:1"]).run().ok();
    home.a3s(&["network", "create", "back"]).run().ok();
    home.a3s(&["volume", "create", "data"]).run().ok();
    home.a3s(&["create", "--name", "idle-box", "busybox"]).run().ok();
    home.idle("web-box");
    home
}

#[test]
fn bash_offers_what_can_come_next() {
    let home = furnished();
    let job = home.a3s(&["exec", "-d", "web-box", "sleep", "1000"]).run().ok();
    let is = |line: &str, words: &[&str]| assert_eq!(bash(&home, line), words, "{line:?}");
    is("a3s-box re", &["rename", "restart"]);
    is("a3s-box volume ", &["create", "inspect", "ls", "prune", "rm"]);
    is("a3s-box run --net", &["--net-learn", "--net-policy", "--network"]);
    is("a3s-box run --network ", &["back"]);
    is("a3s-box run --network=b", &["back"]);
    is("a3s-box run --vmm ", &["auto", "krun", "qemu"]);
    is("a3s-box run --rm -it ", &["busybox:latest", "tools:1"]);
    is("a3s-box run --name x to", &["tools:1"]);
    is("a3s-box run -v da", &["data:"]);
    is("a3s-box run busybox ", &[]);
    // Boxes by what they do.
    is("a3s-box start ", &["idle-box"]);
    is("a3s-box stop ", &["web-box"]);
    is("a3s-box exec -it ", &["web-box"]);
    is("a3s-box exec web-box ", &[]);
    is("a3s-box rm -f ", &["idle-box", "web-box"]);
    is("a3s-box rm -f idle-box w", &["web-box"]);
    is("a3s-box inspect --format json i", &["idle-box"]);
    is("a3s-box logs ", &[&job, "idle-box", "web-box"]);
    is("a3s-box network rm ", &["back"]);
    is("a3s-box network connect back i", &["idle-box"]);
    is("a3s-box volume inspect ", &["data"]);
    is("a3s-box rmi t", &["tools:1"]);
    is("a3s-box kill --signal T", &["TERM"]);
    is("a3s-box completion ", &["bash", "fish", "zsh"]);
    assert!(bash(&home, "a3s-box ").len() > 45);
    assert!(!bash(&home, "a3s-box ").contains(&"__complete".to_owned()));
    // Files where files may come.
    std::fs::write(home.path().join("settings.env"), "").unwrap();
    is("a3s-box run --env-file set", &["settings.env"]);
    is("a3s-box cp set", &["settings.env"]);
    is("a3s-box cp web", &["web-box:"]);
    is("a3s-box nothing-like-this x", &[]);
}

/// The words that a line's end may become, asked of a shell that may not be there.
fn has(shell: &str) -> bool {
    Command::new(shell).args(["-c", "true"]).status().is_ok_and(|status| status.success())
}

#[test]
fn fish_and_zsh_offer_the_same() {
    if !has("fish") || !has("zsh") {
        not_here("fish or zsh is missing");
    }
    let home = furnished();
    if has("fish") {
        let ask = "a3s-box completion fish | source; complete -C $argv[1] | string split -f 1 \\t";
        let fish = |line: &str| offered(&home, Command::new("fish").args(["--no-config", "-c", ask, line]));
        assert_eq!(fish("a3s-box re"), ["rename", "restart"]);
        assert_eq!(fish("a3s-box start "), ["idle-box"]);
        assert_eq!(fish("a3s-box run --network "), ["back"]);
        assert_eq!(fish("a3s-box exec -it w"), ["web-box"]);
    }
    if has("zsh") {
        // What is offered is caught where the script hands it over.
        let ask = r#"compdef() { :; }; compadd() { shift 4; print -rl -- "${(@P)1}"; }; _files() { :; }
            source <(a3s-box completion zsh); words=("${(@s: :)1}"); CURRENT=$#words; _a3s_box"#;
        let zsh = |line: &str| offered(&home, Command::new("zsh").args(["-f", "-c", ask, "zsh", line]));
        assert_eq!(zsh("a3s-box re"), ["rename", "restart"]);
        assert_eq!(zsh("a3s-box start i"), ["idle-box"]);
        assert_eq!(zsh("a3s-box run --network b"), ["back"]);
    }
}
