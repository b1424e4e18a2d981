//! Images that lack what others have, and processes that are larger than others: each runs, or says what is
//! missing.

use crate::harness::{Home, given};
use std::path::PathBuf;
use std::process::Command;

/// A copy of the busybox layout, configured further.
fn configured(home: &Home, tag: &str, config: &[&str]) {
    let layout: PathBuf = home.path().join(format!("layout-{tag}"));
    let copy = Command::new("cp").arg("-r").arg(given("A3S_TEST_BUSYBOX")).arg(&layout).status().unwrap();
    assert!(copy.success());
    let image = format!("{}:latest", layout.display());
    let made = Command::new("umoci").args(["config", "--image", &image]).args(config).status().unwrap();
    assert!(made.success());
    home.a3s(&["load", "--tag", tag, "--input"]).arg(&layout).run().ok();
}

#[test]
fn one_static_program_is_image_enough() {
    let home = Home::empty();
    home.load("A3S_TEST_SCRATCH", "scratch");
    assert_eq!(home.a3s(&["run", "--rm", "scratch", "echo", "hello"]).run().ok(), "hello");
    let root = home.a3s(&["run", "--rm", "scratch", "ls", "-A", "/"]).run().ok();
    assert_eq!(root.lines().collect::<Vec<_>>(), ["busybox", "dev", "proc", "sys", "usr"]);
    assert_eq!(home.a3s(&["run", "--rm", "-u", "5:6", "scratch", "id", "-u"]).run().ok(), "5");
    let ghost = home.a3s(&["run", "--rm", "-u", "ghost", "scratch", "true"]).run();
    assert_eq!(ghost.code, 126, "{}", ghost.stderr);
    assert!(ghost.stderr.contains("ghost") && ghost.stderr.contains("/etc/passwd"), "{}", ghost.stderr);
    let shell = home.a3s(&["run", "--rm", "--entrypoint", "sh", "scratch"]).run();
    assert_eq!(shell.code, 127, "{}", shell.stderr);
    assert!(shell.stderr.contains("sh"), "{}", shell.stderr);
    let tty = home.a3s(&["run", "--rm", "-t", "scratch", "echo", "on a terminal"]).run();
    assert_eq!(tty.ok(), "on a terminal\r");
    home.a3s(&["run", "-d", "--name", "s", "scratch", "sleep", "100000"]).run().ok();
    assert_eq!(home.a3s(&["exec", "s", "/busybox", "echo", "inside"]).run().ok(), "inside");
}

#[test]
fn what_the_image_configures_and_does_not_hold_is_named() {
    let home = Home::new();
    configured(&home, "ghost", &["--config.user", "ghost"]);
    let out = home.a3s(&["run", "--rm", "ghost", "true"]).run();
    assert_eq!(out.code, 126, "{}", out.stderr);
    assert!(out.stderr.contains("ghost"), "{}", out.stderr);
    assert_eq!(home.a3s(&["run", "--rm", "-u", "0", "ghost", "id", "-u"]).run().ok(), "0");

    configured(&home, "elsewhere", &["--config.workingdir", "/not/there/yet"]);
    assert_eq!(home.a3s(&["run", "--rm", "elsewhere", "pwd"]).run().ok(), "/not/there/yet");

    configured(&home, "shellless", &["--config.entrypoint", "/no/shell", "--config.entrypoint", "-c"]);
    let out = home.a3s(&["run", "--rm", "shellless", "true"]).run();
    assert_eq!(out.code, 127, "{}", out.stderr);
    assert!(out.stderr.contains("/no/shell"), "{}", out.stderr);

    home.idle("i");
    home.exec("i", "printf '#!/no/such/interpreter\\n' > /script; chmod +x /script");
    let out = home.a3s(&["exec", "i", "/script"]).run();
    assert_eq!(out.code, 127, "{}", out.stderr);
    assert!(out.stderr.contains("/no/such/interpreter"), "{}", out.stderr);
    home.exec("i", "printf 'no program at all' > /noise; chmod +x /noise");
    let out = home.a3s(&["exec", "i", "/noise"]).run();
    assert_eq!(out.code, 126, "{}", out.stderr);
    assert!(out.stderr.contains("/noise"), "{}", out.stderr);
}

#[test]
fn two_thousand_variables_and_a_mebibyte_of_arguments_are_passed_on() {
    let home = Home::new();
    let pairs: Vec<String> = (0..2000).map(|n| format!("VARIABLE_{n}={}", "v".repeat(40))).collect();
    let mut args = vec!["run", "--rm"];
    for pair in &pairs {
        args.extend(["-e", pair]);
    }
    args.extend(["busybox", "sh", "-c", "env | grep -c ^VARIABLE_"]);
    assert_eq!(home.a3s(&args).run().ok(), "2000");

    let long = "x".repeat(64 << 10);
    let mut args = vec!["run", "--rm", "busybox", "sh", "-c", "echo $#; echo \"$*\" | wc -c", "sh"];
    args.extend([long.as_str(); 16]);
    assert_eq!(home.a3s(&args).run().ok(), format!("16\n{}", 16 * (64 << 10) + 16));
}

#[test]
fn a_string_longer_than_linux_passes_on_is_named() {
    let home = Home::new();
    let file = home.path().join("long.env");
    std::fs::write(&file, format!("LONG={}\n", "x".repeat(1 << 20))).unwrap();
    let out = home.a3s(&["run", "--rm", "--env-file", file.to_str().unwrap(), "busybox", "true"]).run();
    assert_eq!(out.code, 126, "{}", out.stderr);
    assert!(out.stderr.contains("variable LONG") && out.stderr.contains("131071"), "{}", out.stderr);
}
