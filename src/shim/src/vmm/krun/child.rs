//! The VMM's process.

use super::Guest;
#[cfg(krun)]
use crate::confine::{Needs, confine};
#[cfg(krun)]
use crate::sys;
use std::process::ExitCode;

/// Runs the guest that `json` describes. It comes back only to say what kept it from doing so.
pub(crate) fn enter(json: Option<&str>) -> ExitCode {
    let Some(guest) = json.and_then(|json| serde_json::from_str::<Guest>(json).ok()) else {
        eprintln!("not to be run by hand: a3s-box-shim starts it");
        return ExitCode::FAILURE;
    };
    eprintln!("{}", run(&guest));
    ExitCode::FAILURE
}

#[cfg(krun)]
fn run(guest: &Guest) -> String {
    let running = || {
        let (upper, network) = (guest.upper.is_some(), guest.network.is_some());
        let volumes = i32::try_from(guest.volumes.len()).map_err(|e| e.to_string())?;
        let count = super::UPPER_FD - super::INITRD_FD + i32::from(upper) + volumes + i32::from(network);
        let files = sys::inherited(count).map_err(|e| format!("the VMM was not given its files: {e}"))?;
        // The first is the initramfs, which is in no file system and needs no leave.
        let [_, read @ ..] = &files[..] else { return Err("the VMM was not given its files".to_owned()) };
        // The last is the network's stream, which is in none either.
        let read = &read[..read.len() - usize::from(network)];
        let (read, volumes) = read.split_at(read.len() - guest.volumes.len());
        let (read, write) = read.split_at(read.len() - usize::from(upper));
        let of_volumes = |writable: bool| {
            let pairs = volumes.iter().zip(&guest.volumes);
            pairs.filter(move |(_, size)| size.is_some() == writable).map(|(file, _)| file)
        };
        confine(&Needs {
            read: &read.iter().chain(of_volumes(false)).collect::<Vec<_>>(),
            write: &write.iter().chain(of_volumes(true)).collect::<Vec<_>>(),
            file_size: guest.volumes.iter().flatten().copied().chain(guest.upper).max().unwrap_or(0),
            memory: u64::from(guest.memory_mib) << 20,
        })?;
        let machine = super::ffi::configure(guest)?;
        // The files stay open: libkrun opens them by their numbers.
        Ok(machine.enter())
    };
    running().unwrap_or_else(|error: String| error)
}

#[cfg(not(krun))]
fn run(_: &Guest) -> String {
    "this build is without libkrun".to_owned()
}
