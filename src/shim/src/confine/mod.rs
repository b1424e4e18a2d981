//! What a VMM's process gives up before it runs a guest, and the file server's before it serves one.
//!
//! A guest that breaks out of its VM finds itself in a process that can open nothing but the box's own files,
//! start nothing, reach no network, look at no other process, and grow no file. Where the host has no Landlock
//! the first of these does not hold; `a3s-box doctor` says so. On macOS Seatbelt holds it to all but the last.

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;

#[cfg(any(krun, test))]
pub(crate) use system::confine;
#[cfg(target_os = "linux")]
pub(crate) use system::confine_files;
pub(crate) use system::{Program, for_program};

use a3s_box_core::{Accel, ShimSpec};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What a VMM may hold in memory beside the guest's own: a hostile guest must not make it take the host's.
const OVERHEAD: u64 = 256 << 20;
/// What emulation keeps of the guest's code once it is translated; more is translated again.
pub(crate) const TRANSLATED: u64 = 256 << 20;
/// What QEMU may map in memory beside the guest's own: most of it is the stacks of threads that wait for disks, 8 MiB
/// for each of 64, of which little is ever used.
const PROGRAM_OVERHEAD: u64 = 1 << 30;
/// For each disk: a request has a stack of 1 MiB, and so many are under way at once.
const PROGRAM_DISK: u64 = 256 << 20;
/// For each vCPU: a thread.
const PROGRAM_CPU: u64 = 16 << 20;
/// A stream to the guest is a descriptor, and so is a device.
const DESCRIPTORS: u64 = 512;

/// What the process still needs.
pub(crate) struct Needs<'a> {
    /// The files that it reads.
    pub(crate) read: &'a [&'a OwnedFd],
    /// The files that it also writes.
    pub(crate) write: &'a [&'a OwnedFd],
    /// How far it may grow a file.
    pub(crate) file_size: u64,
    /// The guest's memory.
    pub(crate) memory: u64,
}

/// A hostile guest makes QEMU ask for any amount: it ends then, and the host goes on.
fn program_memory(spec: &ShimSpec) -> u64 {
    let disks = 1 + u64::from(spec.upper.is_some()) + spec.volumes.len() as u64;
    let translated = if spec.accel == Accel::Tcg { TRANSLATED } else { 0 };
    let beside = PROGRAM_OVERHEAD + disks * PROGRAM_DISK + u64::from(spec.cpus) * PROGRAM_CPU + translated;
    (spec.memory.to_mib() << 20) + beside
}

/// A program that is installed elsewhere than the system's: itself, and what lies beside its folder.
fn installation(program: &Path) -> Vec<PathBuf> {
    let Ok(program) = program.canonicalize() else { return Vec::new() };
    let prefix = program.parent().and_then(Path::parent).map(Path::to_owned);
    let beside = prefix
        .into_iter()
        .flat_map(|prefix| ["lib", "lib64", "libexec", "share"].map(|dir| prefix.join(dir)));
    beside.chain([program]).collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
