//! What the host tells this guest: from the initramfs, where the kernel has unpacked it beside this program, or
//! through the agent's port. In the latter case the guest may be the copy of one that booted some time ago.

use super::devices;
use super::fatal::{Fatal, Stage};
use crate::{port, sys};
use a3s_box_core::{BootSpec, Wake};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;

const SPEC: &str = "/boot.json";
/// A spec longer than this is none; arguments and environment may take megabytes.
const MAX_SPEC: u64 = 64 << 20;

/// What to be, and the agent's port where it came from there.
pub(super) fn read() -> Result<(BootSpec, Option<OwnedFd>), Fatal> {
    const STAGE: &str = "read boot.json";
    match File::open(SPEC) {
        Ok(file) => {
            let mut json = Vec::new();
            file.take(MAX_SPEC).read_to_end(&mut json).stage(STAGE)?;
            // It may hold secrets, and takes memory.
            std::fs::remove_file(SPEC).stage(STAGE)?;
            let boot = serde_json::from_slice(&json).map_err(|e| Fatal::new(STAGE, e))?;
            Ok((boot, None))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => wait().map(|(boot, port)| (boot, Some(port))),
        Err(e) => Err(Fatal::new(STAGE, e)),
    }
}

/// Waits, as long as it takes, to be told through the agent's port. Here the host may copy the machine, and give
/// the copy other disks.
fn wait() -> Result<(BootSpec, OwnedFd), Fatal> {
    const STAGE: &str = "wait to be told what to be";
    let released = devices::release().stage("release the disks")?;
    let port = port::open().stage(STAGE)?;
    let json = receive(&port).stage(STAGE)?;
    let Wake { clock_ns, seed, boot } = serde_json::from_slice(&json).map_err(|e| Fatal::new(STAGE, e))?;
    set_clock(clock_ns).stage("set the clock")?;
    sys::reseed(&seed).stage("seed the random numbers")?;
    devices::take(&released).stage("take the disks")?;
    Ok((boot, port))
}

fn receive(port: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    fill(port, &mut length)?;
    let length = u32::from_le_bytes(length);
    if u64::from(length) > MAX_SPEC {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("{length} bytes of spec")));
    }
    let mut json = vec![0; usize::try_from(length).map_err(|_| ErrorKind::InvalidData)?];
    fill(port, &mut json)?;
    Ok(json)
}

/// Reads `buffer` full, and nothing beyond it.
fn fill(port: &OwnedFd, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match rustix::io::read(port, &mut *buffer) {
            // No host is connected yet.
            Ok(0) => std::thread::sleep(port::PAUSE),
            Ok(count) => buffer = &mut buffer[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Sets `CLOCK_REALTIME` to `ns` nanoseconds since the UNIX epoch.
///
/// # Errors
/// Those of clock_settime(2); `InvalidData` for a time that is none.
pub(crate) fn set_clock(ns: u64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: i64::try_from(ns / 1_000_000_000).map_err(|_| ErrorKind::InvalidData)?,
        tv_nsec: i64::try_from(ns % 1_000_000_000).map_err(|_| ErrorKind::InvalidData)?,
    };
    Ok(clock_settime(ClockId::Realtime, time)?)
}
