//! `a3s-box-guest-init`: the first process of every guest, and `nsexec`, which is the same program inside a box.
//!
//! As `/init` it owns the machine: it mounts the box's file systems, starts the container process, serves the
//! agent protocol to the host and powers off. It decides nothing about boxes; `boot.json` and the host do. The
//! kernel starts it from the initramfs. It is one thread for all its life (see `sys`), and small: it is copied
//! and unpacked at every boot and stays in every guest's memory.
#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("the guest init runs in Linux guests; build it for a Linux target");

mod boot;
mod files;
mod nsexec;
mod oom;
mod port;
mod process;
mod reap;
mod rights;
mod serve;
mod stream;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    // PID 1 alone does not tell: inside a box, nsexec may be the first process of its namespace.
    if called == "/init" && std::process::id() == 1 {
        boot::init()
    }
    if called.as_encoded_bytes() == process::spawner::NAME.to_bytes() {
        return process::spawner::main();
    }
    nsexec::main()
}
