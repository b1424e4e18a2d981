//! What an idle box takes of the host's memory.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt;
use std::fs;

/// A mapping of the VMM's at least so large is the guest's memory: boxes here have 512 MiB.
const GUEST: u64 = 256 << 20;

/// Bytes that nobody else shares.
pub(super) struct Memory {
    shim: u64,
    vmm: u64,
    guest: u64,
}

impl Memory {
    /// Asks the kernel about the processes of the running box of `view`.
    pub(super) fn of(view: &Value) -> Result<Self> {
        let pid = |which: &str| view["run"][which]["pid"].as_i64().with_context(|| format!("no {which}"));
        let (shim, _) = private(pid("shim")?)?;
        let (vmm, guest) = private(pid("vmm")?)?;
        Ok(Self { shim, vmm, guest })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        writeln!(
            f,
            "Private memory of an idle box of 512 MiB: {} MiB beyond the guest's own (shim {}, VMM {}), and {} MiB of \
             the guest's.",
            mib(self.shim + self.vmm),
            mib(self.shim),
            mib(self.vmm),
            mib(self.guest)
        )
    }
}

/// The private memory of the process `pid`: its own, and a guest's.
fn private(pid: i64) -> Result<(u64, u64)> {
    let path = format!("/proc/{pid}/smaps");
    let maps = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (mut own, mut guest, mut size) = (0, 0, 0);
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (name, value.parse::<u64>()) {
            ("Size:", Ok(kib)) => size = kib << 10,
            ("Private_Clean:" | "Private_Dirty:", Ok(kib)) if size < GUEST => own += kib << 10,
            ("Private_Clean:" | "Private_Dirty:", Ok(kib)) => guest += kib << 10,
            _ => {}
        }
    }
    Ok((own, guest))
}
