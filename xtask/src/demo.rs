//! `cargo xtask demo`: from a fresh checkout to a box that runs.

use crate::step::{quietly, run, step};
use crate::{build, images, places};
use anyhow::Result;
use std::process::Command;

pub(crate) fn run_demo() -> Result<()> {
    let programs = build::run_all()?;
    let image = images::busybox()?;
    let home = places::target().join("demo-home");
    let a3s = || {
        let mut command = Command::new(programs.join("a3s-box"));
        command.env("A3S_HOME", &home);
        command
    };
    step("loading the image into the demo's own state directory", || {
        quietly(a3s().args(["load", "--tag", "busybox", "--input"]).arg(&image)).map(drop)
    })?;
    let script = "echo \"Hello from $(hostname), on a Linux $(uname -r) of its own\"; \
                  echo \"processes here: $(ps | tail -n +2 | wc -l), users: $(cut -d: -f1 /etc/passwd | xargs)\"";
    eprintln!("==> a3s-box run --rm --trace-boot busybox -- sh -c '…'");
    run(a3s().args([
        "run",
        "--rm",
        "--trace-boot",
        "--hostname",
        "demo",
        "busybox",
        "--",
        "sh",
        "-c",
        script,
    ]))?;
    eprintln!("\nRun boxes of your own:");
    eprintln!("    export PATH={}:$PATH A3S_HOME={}", programs.display(), home.display());
    eprintln!("    a3s-box run --rm -it busybox");
    Ok(())
}
