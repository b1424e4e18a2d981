//! libkrun, in a process of its own: it takes over the process that enters it, and ends it with the guest.
//!
//! The process is this program once more, started as `a3s-box-shim krun`. It is told what to run by one JSON
//! argument and has all of its files as descriptors, so it need not find anything.

mod carry;
mod child;
#[cfg(krun)]
mod ffi;
#[cfg(all(krun, target_os = "linux"))]
mod memory;
mod vsock;

pub(crate) use child::enter;
pub(crate) use vsock::Vsock;

use super::{Link, Machine, command_line};
use crate::{cpio, sys};
use a3s_box_core::ShimSpec;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The version of libkrun that this build holds.
pub(crate) const VERSION: Option<&str> = if cfg!(krun) { Some("1.19.7") } else { None };

/// Whether it is the libkrun that starts SEV-SNP guests, and no others. Nothing starts one yet: it boots what its firmware
/// library holds, whose init speaks no protocol of ours.
pub(crate) fn has_sev_snp() -> bool {
    #[cfg(sev_snp)]
    {
        /// libkrun.h: `KRUN_FEATURE_AMD_SEV`.
        const AMD_SEV: u64 = 7;
        krun::krun_has_feature(AMD_SEV) == 1
    }
    #[cfg(not(sev_snp))]
    false
}

/// The word that makes this program a VMM.
pub(crate) const WORD: &str = "krun";

/// The descriptors of the VMM's process, beside the three that every process has.
const INITRD_FD: i32 = 3;
const KERNEL_FD: i32 = 4;
const ROOTFS_FD: i32 = 5;
const UPPER_FD: i32 = 6;

/// Where libkrun listens for streams to the guest; the box's folder is the working directory of both processes.
const SOCKET: &str = "vsock.sock";

/// What the VMM's process is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guest {
    cpus: u8,
    memory_mib: u32,
    command_line: String,
    /// The size of the writable layer's disk, where there is one.
    upper: Option<u64>,
    /// The disks of its volumes, whose descriptors come next: the size, where it may be written.
    volumes: Vec<Option<u64>>,
    /// The link address of its network device, where there is one; its stream is the last descriptor.
    network: Option<[u8; 6]>,
    /// Whether the guest's flushes reach the host's disk.
    sync: bool,
}

/// Starts a VMM process.
///
/// # Errors
/// What keeps it from being started, ready for a user to read.
pub(super) fn launch(spec: &ShimSpec, network: Option<OwnedFd>) -> Result<Machine, String> {
    if VERSION.is_none() {
        return Err("this build of a3s-box-shim is without libkrun for such boxes; use --vmm qemu".to_owned());
    }
    let initrd = cpio::initramfs(spec).map_err(|e| format!("cannot make the initramfs: {e}"))?;
    spawn(spec, initrd, network).map_err(|e| format!("cannot start the VMM: {e}"))
}

fn spawn(spec: &ShimSpec, initrd: OwnedFd, network: Option<OwnedFd>) -> io::Result<Machine> {
    match std::fs::remove_file(SOCKET) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut files: Vec<OwnedFd> =
        vec![initrd, File::open(&spec.kernel)?.into(), File::open(&spec.rootfs)?.into()];
    debug_assert_eq!((INITRD_FD, KERNEL_FD, ROOTFS_FD, UPPER_FD), (3, 4, 5, 6));
    let mut upper = None;
    if let Some(path) = &spec.upper {
        let file = File::options().read(true).write(true).open(path)?;
        upper = Some(file.metadata()?.len());
        files.push(file.into());
    }
    let mut volumes = Vec::new();
    for volume in &spec.volumes {
        let file = File::options().read(true).write(!volume.read_only).open(&volume.path)?;
        volumes.push(if volume.read_only { None } else { Some(file.metadata()?.len()) });
        files.push(file.into());
    }
    files.extend(network);
    let guest = Guest {
        cpus: u8::try_from(spec.cpus).map_err(|_| io::ErrorKind::InvalidInput)?,
        memory_mib: u32::try_from(spec.memory.to_mib()).map_err(|_| io::ErrorKind::InvalidInput)?,
        command_line: command_line::kernel(spec),
        upper,
        volumes,
        network: spec.network.as_ref().map(|network| network.addresses.mac),
        sync: !spec.discard,
    };
    // Whatever replaces the program's file meanwhile, on Linux this is the one that speaks to itself.
    let mut command = Command::new(sys::this_program()?);
    command.arg0("a3s-box-krun").arg(WORD).arg(serde_json::to_string(&guest)?).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let inherited = sys::confine(&mut command, &files.iter().collect::<Vec<_>>(), None)?;
    let (vsock, port_open) = Vsock::at(Path::new(SOCKET));
    let machine = Machine::start(command, Link::Vsock(vsock), port_open)?;
    drop(inherited);
    Ok(machine)
}
