//! Seatbelt (sandbox(7), sandbox_init(3), sandbox-exec(1)): a profile in text, which forbids all that it does not name.

use super::{DESCRIPTORS, Needs, OVERHEAD, installation, program_memory};
use crate::sys;
use a3s_box_core::ShimSpec;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What becomes another program after it has put on a profile.
const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";
/// The first descriptor, which is no file of the box's.
const INITRAMFS: i32 = 3;
/// What every program of the host may do here: ask how the host is, and see to itself.
const SELF: &str = "(version 1)(deny default)(allow sysctl-read)(allow process-info* signal (target self))";
/// What an installed program is linked to, and what its libraries ask the system for, as Apple has it.
const SYSTEM: &str = "(import \"system.sb\")";
/// Where a system keeps its programs and libraries, and where Homebrew and MacPorts keep theirs.
const PLACES: [&str; 6] =
    ["/usr/lib", "/usr/share", "/usr/local", "/System/Library", "/opt/homebrew", "/opt/local"];

/// Confines this process for good: to its descriptors, and to sockets in the working directory.
///
/// # Errors
/// What could not be given up.
pub(crate) fn confine(needs: &Needs<'_>) -> Result<(), String> {
    limits(needs).map_err(|e| format!("cannot limit the VMM's resources: {e}"))?;
    let folder = std::fs::canonicalize(".").map_err(|e| format!("cannot find the box's folder: {e}"))?;
    let mut profile = SELF.as_bytes().to_vec();
    // libkrun opens its files by the names of their descriptors.
    let by_number = |fd: i32| PathBuf::from(sys::path_of(fd));
    for fd in needs.read.iter().map(|fd| fd.as_raw_fd()).chain([INITRAMFS]) {
        allow(&mut profile, "file-read*", "literal", &by_number(fd));
    }
    for fd in needs.write.iter().map(|fd| fd.as_raw_fd()) {
        allow(&mut profile, "file-read* file-write-data", "literal", &by_number(fd));
    }
    allow(&mut profile, "file-read*", "literal", Path::new("/dev/urandom"));
    profile.extend_from_slice(b"(allow system-socket (socket-domain AF_UNIX))");
    profile.extend_from_slice(b"(allow file-write-create (require-all (vnode-type SOCKET)");
    filter(&mut profile, "subpath", &folder);
    profile.extend_from_slice(b"))(allow network-bind network-inbound (local unix-socket ");
    filter(&mut profile, "subpath", &folder);
    profile.extend_from_slice(b"))");
    sys::sandbox(profile).map_err(|e| format!("cannot confine the VMM: {e}"))
}

fn limits(needs: &Needs<'_>) -> std::io::Result<()> {
    // No other process of this user may look into this one.
    sys::deny_attach()?;
    for (resource, most) in [
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Fsize, needs.file_size),
        (Resource::Data, needs.memory + OVERHEAD),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// What confines a VMM that is installed on the host.
pub(crate) struct Program {
    profile: OsString,
    /// The most memory of its own that it may have, in bytes.
    pub(crate) memory: u64,
}

impl Program {
    /// The command that runs `program` so confined.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(SANDBOX_EXEC);
        command.arg("-p").arg(&self.profile).arg(real(program));
        command
    }
}

/// What keeps `program`, a VMM that is installed on the host, from all files but its own and those of the box of
/// `spec`, from the network and from other processes.
///
/// # Errors
/// None; Linux's has some.
pub(crate) fn for_program(program: &Path, spec: &ShimSpec) -> Result<Program, String> {
    let mut profile = SELF.as_bytes().to_vec();
    profile.extend_from_slice(SYSTEM.as_bytes());
    let own = installation(program);
    for place in PLACES.iter().map(Path::new).chain(own.iter().map(AsRef::as_ref)) {
        allow(&mut profile, "file-read* file-map-executable", "subpath", place);
    }
    if let Some(program) = own.last() {
        allow(&mut profile, "process-exec", "literal", program);
    }
    for file in [&spec.kernel, &spec.initramfs, &spec.rootfs] {
        allow(&mut profile, "file-read*", "literal", &real(file));
    }
    let volumes = spec.volumes.iter().map(|volume| (&volume.path, volume.read_only));
    for (disk, read_only) in spec.upper.iter().map(|upper| (upper, false)).chain(volumes) {
        let access = if read_only { "file-read*" } else { "file-read* file-write-data" };
        allow(&mut profile, access, "literal", &real(disk));
    }
    Ok(Program { profile: OsString::from_vec(profile), memory: program_memory(spec) })
}

/// The path without links, which is the one that the kernel compares.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Adds that `what` may be done with the files of `path`.
fn allow(profile: &mut Vec<u8>, what: &str, kind: &str, path: &Path) {
    profile.extend_from_slice(format!("(allow {what} ").as_bytes());
    filter(profile, kind, path);
    profile.push(b')');
}

fn filter(profile: &mut Vec<u8>, kind: &str, path: &Path) {
    profile.extend_from_slice(format!("({kind} \"").as_bytes());
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            profile.push(b'\\');
        }
        profile.push(*byte);
    }
    profile.extend_from_slice(b"\")");
}
