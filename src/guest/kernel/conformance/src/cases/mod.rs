//! The cases, by what they are about.

mod calls;
mod containers;
pub mod exec;
#[cfg(target_arch = "x86_64")]
mod faults;
mod files;
mod memory;
mod net;
mod signals;
mod threads;
mod time;
#[cfg(target_arch = "x86_64")]
mod tracing;

/// What each case is called, and what it does: it panics if something is wrong.
pub const ALL: &[(&str, fn())] = &[
    ("calls-unknown-are-refused", calls::unknown_are_refused),
    ("calls-refuse-bad-addresses", calls::refuse_bad_addresses),
    #[cfg(target_arch = "x86_64")]
    ("calls-keep-registers", calls::keep_registers),
    ("calls-interfaces-are-there", calls::interfaces_are_there),
    #[cfg(target_arch = "x86_64")]
    ("faults-of-memory", faults::of_memory),
    #[cfg(target_arch = "x86_64")]
    ("faults-of-instructions", faults::of_instructions),
    #[cfg(target_arch = "x86_64")]
    ("faults-of-privilege", faults::of_privilege),
    #[cfg(target_arch = "x86_64")]
    ("faults-on-a-full-stack", faults::on_a_full_stack),
    #[cfg(target_arch = "x86_64")]
    ("faults-many", faults::many),
    ("signals-all-arrive", signals::all_arrive),
    ("signals-interrupt-and-restart", signals::interrupt_and_restart),
    ("signals-kill", signals::kill),
    #[cfg(target_arch = "x86_64")]
    ("signals-return-to-nowhere", signals::return_to_nowhere),
    #[cfg(target_arch = "x86_64")]
    ("tracing-steps", tracing::steps),
    #[cfg(target_arch = "x86_64")]
    ("tracing-breakpoints", tracing::breakpoints),
    #[cfg(target_arch = "x86_64")]
    ("tracing-system-calls", tracing::system_calls),
    #[cfg(target_arch = "x86_64")]
    ("tracing-to-nowhere", tracing::to_nowhere),
    ("threads-contend", threads::contend),
    #[cfg(target_arch = "x86_64")]
    ("threads-keep-vectors", threads::keep_vectors),
    #[cfg(target_arch = "x86_64")]
    ("threads-keep-wide-vectors", threads::keep_wide_vectors),
    #[cfg(target_arch = "x86_64")]
    ("threads-keep-tiles", threads::keep_tiles),
    #[cfg(target_arch = "x86_64")]
    ("threads-keep-segments", threads::keep_segments),
    ("threads-are-preempted", threads::are_preempted),
    ("memory-churn", memory::churn),
    ("memory-copies", memory::copies),
    ("memory-copy-on-write", memory::copy_on_write),
    ("memory-huge-pages", memory::huge_pages),
    ("memory-shared", memory::shared),
    ("memory-runs-out", memory::runs_out),
    ("exec-many", exec::many),
    ("exec-arguments", exec::arguments),
    ("exec-scripts", exec::scripts),
    ("time-moves-on", time::moves_on),
    ("time-sleeps", time::sleeps),
    ("time-keeps-pace", time::keeps_pace),
    ("files-tmpfs", files::tmpfs),
    ("files-disk", files::disk),
    ("files-overlay", files::overlay),
    ("containers-namespaces", containers::namespaces),
    ("containers-cgroups", containers::cgroups),
    ("containers-seccomp", containers::seccomp),
    ("net-device", net::device),
    ("net-loopback", net::loopback),
    ("net-unix", net::unix),
    ("net-families", net::families),
];

/// Cases about devices that not every machine has, by the device: `conformance.devices` names those that are there.
pub const DEVICES: &[(&str, fn())] = &[("vsock", net::vsock), ("folder", files::folder)];
