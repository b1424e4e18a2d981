//! A kernel that is hostile to its own machine: it speaks to the virtio devices as no driver would, one attempt after
//! the other, and says on the serial console what it tries and what came of it. It is no operating system and boots
//! nothing.
//!
//! An attempt may end the VMM, as a guest may. So each has a number, and the initramfs is the number to begin with.
//! `tests/e2e/virtio.rs` boots it, and looks after what must not come to harm.
#![cfg_attr(feature = "freestanding", no_std, no_main)]
#![cfg_attr(not(feature = "freestanding"), allow(dead_code, reason = "it is booted, not run"))]
#![deny(unsafe_code)]
#![allow(clippy::cast_possible_truncation, reason = "registers take the lower half")]

#[cfg(target_arch = "x86_64")]
mod attempts;
#[cfg(target_arch = "x86_64")]
mod console;
#[cfg(target_arch = "x86_64")]
mod device;
#[cfg(target_arch = "x86_64")]
mod machine;
#[cfg(target_arch = "x86_64")]
mod queue;
#[cfg(target_arch = "x86_64")]
mod sys;

/// How a kernel is told what it has been booted on.
#[derive(Clone, Copy)]
enum Protocol {
    /// Linux's 64-bit boot protocol.
    Linux,
    /// Xen's PVH.
    Pvh,
}

/// Makes the attempts, from the one that the initramfs names.
#[cfg(target_arch = "x86_64")]
fn run(protocol: Protocol, information: u64) {
    let machine = machine::Machine::at(protocol, information);
    attempts::make(&machine, &mut attempts::Plan::from(machine.from));
    console::say("hostile: all is tried\n");
}

/// Does nothing, for good: a guest that neither serves nor ends.
fn rest() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(not(feature = "freestanding"))]
fn main() {
    eprintln!("a kernel, which `cargo xtask e2e` builds with the feature `freestanding` and boots");
}
