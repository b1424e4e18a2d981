//! What a guest may try against its host. Runs as a process in a box (`attacker WHAT`), or in place of the guest init,
//! as the first process of a guest that is hostile from its first instruction; then the box's host name says what.
//!
//! It says on its output, which is the console for a first process, what came of it. It never helps its host.
#![deny(unsafe_code)]

mod agent;
mod disks;
mod sys;

use rustix::mount::{MountFlags, mount};
use std::time::Duration;

fn main() {
    if std::process::id() != 1 {
        let what = std::env::args().nth(1).unwrap_or_default();
        return attack(&what);
    }
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        let _ = std::fs::create_dir_all(at);
        if let Err(error) = mount(kind, at, kind, MountFlags::empty(), None::<&std::ffi::CStr>) {
            println!("attacker: no {kind}: {error}");
        }
    }
    // The host tells guests what they are in the initramfs, or through the agent's port.
    let spec = std::fs::read_to_string("/boot.json").unwrap_or_else(|_| agent::listen());
    let what =
        spec.split("\"hostname\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    attack(what);
    println!("attacker: {what} is over");
    // A guest that neither serves nor ends.
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

fn attack(what: &str) {
    match what {
        "ports" => println!("attacker: {} ports were refused", sys::write_all_ports()),
        "sockets" => println!("attacker: {} connections came about", sys::connect_to_host(10_000)),
        "disks" => disks::overwrite(),
        "noise" => agent::speak(agent::noise),
        "frames" => agent::speak(agent::frames),
        "silence" => agent::speak(agent::silence),
        other => println!("attacker: no attack is called {other:?}"),
    }
}
