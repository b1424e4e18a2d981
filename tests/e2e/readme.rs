//! What the README tells a user to type, typed.

use crate::harness::{A3s, Home, given, same_environment};
use std::process::Command;

#[test]
fn the_tour_runs_as_it_is_printed() {
    let text = include_str!("../../README.md");
    let tour = text.split("## Tour").nth(1).expect("no tour in the README").split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        tour.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 2, "the tour has no commands");
    let home = Home::empty();
    // Where a user is, who keeps no projects in the state directory.
    let project = tempfile::tempdir().unwrap();
    let environment = A3s::new(home.path(), &[]).into_command();
    let path = format!("{}:{}", given("A3S_TEST_PROGRAMS").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-eux", "-c", &blocks.join("\n")]).env("PATH", path).current_dir(project.path());
    same_environment(&environment, &mut shell);
    // A user has asked for no machine, and gets for each box what fits it.
    shell.env_remove("A3S_BOX_VMM").env_remove("A3S_BOX_ACCEL").env_remove("A3S_BOX_KERNEL");
    let out = shell.output().unwrap();
    assert!(
        out.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}
