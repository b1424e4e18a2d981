//! What a VMM's process gives up before it runs a guest, and the file server's before it serves one.
//!
//! A guest that breaks out of its VM finds itself in a process that can open nothing but the box's own files,
//! start nothing, reach no network, look at no other process, and grow no file. Where the host has no Landlock
//! the first of these does not hold; `a3s-box doctor` says so.

mod landlock;
mod seccomp;

use a3s_box_core::{Accel, ShimSpec};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::BpfProgram;
use std::os::fd::OwnedFd;
use std::path::Path;

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
/// An inode that a guest knows is a descriptor of the file server's, as far as the host allows.
const FILES_DESCRIPTORS: u64 = 1 << 18;

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

/// Confines this process, whose only thread this is, for good.
///
/// # Errors
/// What could not be given up.
pub(crate) fn confine(needs: &Needs<'_>) -> Result<(), String> {
    limits(needs).map_err(|e| format!("cannot limit the VMM's resources: {e}"))?;
    landlock::restrict(needs).map_err(|e| format!("cannot confine the VMM's files: {e}"))?;
    seccomp::restrict().map_err(|e| format!("cannot confine the VMM's system calls: {e}"))
}

/// What the file server may hold in memory.
const FILES_MEMORY: u64 = 512 << 20;

/// Confines this process, whose only thread this is, to working on what lies below `roots`, each with whether it can
/// only be read. How many descriptors it may have.
///
/// # Errors
/// What could not be given up.
pub(crate) fn confine_files(roots: &[(&OwnedFd, bool)]) -> Result<usize, String> {
    let limits = || -> rustix::io::Result<u64> {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(FILES_DESCRIPTORS).min(FILES_DESCRIPTORS);
        for (resource, most) in [
            (Resource::Nofile, most),
            (Resource::Data, FILES_MEMORY),
            (Resource::Memlock, 0),
            (Resource::Msgqueue, 0),
        ] {
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
        // Root keeps what lets it work on everybody's files, and nothing that makes devices, changes owners or leaves
        // set-uid bits where somebody else has written.
        let kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
        let has = rustix::thread::capabilities(None)?.permitted & kept;
        let sets = CapabilitySets { effective: has, permitted: has, inheritable: CapabilitySet::empty() };
        rustix::thread::set_capabilities(None, sets)?;
        Ok(most)
    };
    let most = limits().map_err(|e| format!("cannot limit its resources: {e}"))?;
    landlock::restrict_files(roots).map_err(|e| format!("cannot confine it to the folders: {e}"))?;
    seccomp::restrict_files().map_err(|e| format!("cannot confine its system calls: {e}"))?;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// What confines a VMM that is installed on the host. To be applied by the process that becomes it.
pub(crate) struct Program {
    /// The Landlock rules for its files; none where the host has no Landlock.
    pub(crate) files: Option<OwnedFd>,
    /// The filter of its system calls.
    pub(crate) calls: BpfProgram,
    /// The most memory of its own that it may map, in bytes; what shares that with files does not count.
    pub(crate) memory: u64,
}

/// What keeps `program`, a VMM that is installed on the host, from all files but its own and those of the box of
/// `spec`, from the network and from other processes.
///
/// # Errors
/// What could not be kept from it.
pub(crate) fn for_program(program: &Path, spec: &ShimSpec) -> Result<Program, String> {
    let files =
        landlock::for_program(program, spec).map_err(|e| format!("cannot confine the VMM's files: {e}"))?;
    let calls = seccomp::for_program().map_err(|e| format!("cannot confine the VMM's system calls: {e}"))?;
    Ok(Program { files, calls, memory: program_memory(spec) })
}

/// A hostile guest makes QEMU ask for any amount: it ends then, and the host goes on.
fn program_memory(spec: &ShimSpec) -> u64 {
    let disks = 1 + u64::from(spec.upper.is_some()) + spec.volumes.len() as u64;
    let translated = if spec.accel == Accel::Tcg { TRANSLATED } else { 0 };
    let beside = PROGRAM_OVERHEAD + disks * PROGRAM_DISK + u64::from(spec.cpus) * PROGRAM_CPU + translated;
    (spec.memory.to_mib() << 20) + beside
}

fn limits(needs: &Needs<'_>) -> rustix::io::Result<()> {
    // No other process of this user may look into this one, and it leaves no image when it dies.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    for (resource, most) in [
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Fsize, needs.file_size),
        (Resource::Data, needs.memory + OVERHEAD),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
