//! The disks of this guest, by serial number: the host names them, the kernel's order means nothing.

use super::fatal::{Fatal, Stage};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Disks are there before the first process, unless a driver takes its time.
const PATIENCE: Duration = Duration::from_secs(10);
const STAGE: &str = "find the disks";
/// The driver of disks, and the devices that it has.
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_blk";

/// The device files of the disks with these serial numbers, in this order.
pub(super) fn find(serials: &[&str]) -> Result<Vec<String>, Fatal> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = scan().stage(STAGE)?;
        let device = |serial: &&str| seen.iter().find(|(s, _)| s == serial).map(|(_, d)| d.clone());
        if let Some(found) = serials.iter().map(device).collect() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            let have: BTreeSet<&str> = seen.iter().map(|(serial, _)| serial.as_str()).collect();
            let lacking: Vec<&&str> = serials.iter().filter(|s| !have.contains(**s)).collect();
            return Err(Fatal::new(STAGE, format_args!("no disk {lacking:?}; there are {have:?}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes the disks from their driver, so that others can come in their place; their devices.
pub(super) fn release() -> std::io::Result<Vec<OsString>> {
    let mut released = Vec::new();
    for entry in std::fs::read_dir(DRIVER)? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().starts_with(b"virtio") {
            std::fs::write(format!("{DRIVER}/unbind"), name.as_encoded_bytes())?;
            released.push(name);
        }
    }
    Ok(released)
}

/// Gives the driver the disks of these devices.
pub(super) fn take(released: &[OsString]) -> std::io::Result<()> {
    released.iter().try_for_each(|name| std::fs::write(format!("{DRIVER}/bind"), name.as_encoded_bytes()))
}

/// Serial number and device file of every disk.
fn scan() -> std::io::Result<Vec<(String, String)>> {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        // What has no serial number is none of the host's disks.
        if let Ok(serial) = std::fs::read_to_string(format!("/sys/block/{name}/serial")) {
            seen.push((serial.trim_end().to_owned(), format!("/dev/{name}")));
        }
    }
    Ok(seen)
}
