//! Landlock, seccomp, resource limits, and capabilities that are given up.

use super::{DESCRIPTORS, Needs, OVERHEAD, landlock, program_memory, seccomp};
use a3s_box_core::ShimSpec;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::BpfProgram;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

/// An inode that a guest knows is a descriptor of the file server's, as far as the host allows.
const FILES_DESCRIPTORS: u64 = 1 << 18;

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

impl Program {
    /// The command that runs `program`, to be confined when it is started.
    pub(crate) fn command(&self, program: &Path) -> Command {
        Command::new(program)
    }
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
