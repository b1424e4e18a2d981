//! New programs.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The argument that makes this program such a new program.
pub const CHILD: &str = "conformance-child";
const SELF: &str = "/proc/self/exe";

/// What the new program does: tells what it was given by how it ends.
pub fn child(mut words: impl Iterator<Item = String>) -> ! {
    let code = match words.next().as_deref() {
        Some("status") => words.next().and_then(|n| n.parse().ok()).unwrap_or(1),
        Some("count") => i32::from(
            words.count() != 2_000 || std::env::vars().filter(|(_, v)| v.len() == 100).count() != 500,
        ),
        _ => 1,
    };
    std::process::exit(code)
}

pub fn many() {
    for turn in 0..150 {
        let code = turn % 100;
        let status = Command::new(SELF).args([CHILD, "status", &code.to_string()]).status().expect("exec");
        assert_eq!(status.code(), Some(code), "turn {turn}");
    }
}

pub fn arguments() {
    let mut command = Command::new(SELF);
    command.args([CHILD, "count"]).args((0..2_000).map(|n| format!("{n:0100}")));
    command.env_clear().envs((0..500).map(|n| (format!("N{n}"), format!("{n:0100}"))));
    assert_eq!(command.status().expect("exec").code(), Some(0));
    let error = Command::new(SELF).arg("x".repeat(1 << 20)).status().expect_err("an argument of a mebibyte");
    assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
}

pub fn scripts() {
    let path = "/tmp/script";
    let program = std::fs::read_link(SELF).expect("our own name");
    std::fs::write(path, format!("#!{} {CHILD}\n", program.display())).expect("write");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    // The script's own name is what the child gets as a word, which it does not know.
    assert_eq!(Command::new(path).status().expect("exec").code(), Some(1));
    std::fs::write("/tmp/nothing", "not a program").expect("write");
    std::fs::set_permissions("/tmp/nothing", std::fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(
        Command::new("/tmp/nothing").status().expect_err("no program").raw_os_error(),
        Some(libc::ENOEXEC)
    );
}
