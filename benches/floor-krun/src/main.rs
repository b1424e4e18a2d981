//! The floor of the boot benchmarks on libkrun: starts a MicroVM of what its arguments name, and nothing else.
//!
//! No confinement, no supervision, no streams: what remains is libkrun and the guest kernel.
#![deny(unsafe_code)]

mod krun;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [memory_mib, kernel, initramfs, command_line, rootfs, upper] = &words[..] else {
        eprintln!("usage: floor-krun MEMORY_MIB KERNEL INITRAMFS COMMAND_LINE ROOTFS UPPER");
        return ExitCode::FAILURE;
    };
    let Ok(memory_mib) = memory_mib.parse() else { return ExitCode::FAILURE };
    let guest = krun::Guest { memory_mib, kernel, initramfs, command_line, rootfs, upper };
    eprintln!("{}", krun::enter(&guest));
    ExitCode::FAILURE
}
