//! The disks of this guest, by serial number: the host names them, the kernel's order means nothing.

use super::fatal::{Fatal, Stage};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Disks are there before the first process, unless a driver takes its time.
const PATIENCE: Duration = Duration::from_secs(10);
const STAGE: &str = "find the disks";

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
