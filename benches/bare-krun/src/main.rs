//! Starts a MicroVM of what its arguments name on libkrun, and nothing else: the floor of the boot benchmarks, and a
//! machine for the tests of guest kernels.
//!
//! No confinement, no supervision, no streams: what remains is libkrun and the guest kernel. The guest's serial console is
//! standard output.
#![deny(unsafe_code)]

mod krun;

use krun::{Disk, Guest, Network};
use std::process::ExitCode;

const USAGE: &str = "usage: bare-krun memory=MIB kernel=VMLINUX initramfs=CPIO append=WORDS [readonly=DISK] [disk=DISK] \
                     [net=FD:MAC] [port=NUMBER:SOCKET] [folder=PATH]";

fn main() -> ExitCode {
    let why = match std::env::args().skip(1).try_fold(Guest::default(), take) {
        Some(guest) => krun::enter(&guest),
        None => USAGE.to_owned(),
    };
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// The machine with what `word` names.
fn take(mut guest: Guest, word: String) -> Option<Guest> {
    let (what, value) = word.split_once('=')?;
    let text = || value.to_owned();
    match what {
        "memory" => guest.memory_mib = value.parse().ok()?,
        "kernel" => guest.kernel = text(),
        "initramfs" => guest.initramfs = text(),
        "append" => guest.command_line = text(),
        "readonly" | "disk" => guest.disks.push(Disk { path: text(), read_only: what == "readonly" }),
        "net" => {
            let (stream, mac) = value.split_once(':')?;
            let bytes: Result<Vec<u8>, _> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
            let mac = bytes.ok()?.try_into().ok()?;
            guest.network = Some(Network { stream: stream.parse().ok()?, mac });
        }
        "port" => {
            let (number, socket) = value.split_once(':')?;
            guest.port = Some((number.parse().ok()?, socket.to_owned()));
        }
        "folder" => guest.folder = Some(text()),
        _ => return None,
    }
    Some(guest)
}
