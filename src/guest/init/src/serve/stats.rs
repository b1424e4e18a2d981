//! `Stats`: what the box uses of its machine. All of it is the box's, but for init itself, which is small.

use crate::boot::{CGROUP, uptime_us};
use a3s_box_agent::proto::agent::StatsReply;
use tonic::Status;

/// A sector in `/proc/diskstats`, whatever the disk's own are.
const SECTOR: u64 = 512;

pub(super) fn stats() -> Result<StatsReply, Status> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|e| Status::internal(format!("cannot read {path}: {e}")))
    };
    let cpu = read(&format!("{CGROUP}/cpu.stat"))?;
    let memory = read("/proc/meminfo")?;
    let (network_in, network_out) = network(&read("/proc/net/dev")?);
    let (disk_read, disk_written) = disks(&read("/proc/diskstats").unwrap_or_default());
    let pids = read(&format!("{CGROUP}/cgroup.threads"))?.lines().count();
    let (all, free) = (field(&memory, "MemTotal:"), field(&memory, "MemAvailable:"));
    Ok(StatsReply {
        at_us: uptime_us(),
        cpu_us: field(&cpu, "usage_usec"),
        cpus: u32::try_from(std::thread::available_parallelism().map_or(1, Into::into)).unwrap_or(1),
        memory: all.saturating_sub(free) << 10,
        memory_limit: all << 10,
        network_in,
        network_out,
        disk_read,
        disk_written,
        pids: u32::try_from(pids).unwrap_or(u32::MAX),
    })
}

/// The number after `key` at the begin of a line.
fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.split_ascii_whitespace().next());
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Bytes in and out of `/proc/net/dev`, but for the loopback interface.
fn network(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in text.lines() {
        let Some((name, figures)) = line.split_once(':') else { continue };
        let figures: Vec<u64> =
            figures.split_ascii_whitespace().map(|figure| figure.parse().unwrap_or(0)).collect();
        if let (false, [into, .., _, _, _, _, _, _, _]) = (name.trim() == "lo", &figures[..]) {
            sum = (sum.0 + into, sum.1 + figures.get(8).copied().unwrap_or(0));
        }
    }
    sum
}

/// Bytes read and written of `/proc/diskstats` (Documentation/admin-guide/iostats.rst).
fn disks(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let figure = |n: usize| words.get(n).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * SECTOR;
        if words.get(2).is_some_and(|name| name.starts_with("vd")) {
            sum = (sum.0 + figure(5), sum.1 + figure(9));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_where_the_kernel_puts_them() {
        assert_eq!(field("usage_usec 12\nuser_usec 5\n", "usage_usec"), 12);
        assert_eq!(field("MemTotal:  1024 kB\n", "MemTotal:"), 1024);
        assert_eq!(field("", "x"), 0);
        let net = "Inter-|   Receive\n face |bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n";
        assert_eq!(network(net), (100, 200));
        let disks_text = " 254  0 vda 10 0 16 5 20 0 32 5 0 0 0\n   7  0 loop0 1 0 8 0 1 0 8 0 0 0 0\n";
        assert_eq!(disks(disks_text), (16 * 512, 32 * 512));
    }
}
