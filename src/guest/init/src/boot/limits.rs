//! What all processes of the box may use together, as its cgroup holds it.

use super::fatal::{Fatal, Stage};
use super::mounts::CGROUP;
use a3s_box_core::GuestConfig;

/// Over how many microseconds processor time is counted.
const PERIOD: u64 = 100_000;

/// Sets the limits that were asked for. Controllers cost a boot time, so only what is needed is turned on.
pub(super) fn set(guest: &GuestConfig) -> Result<(), Fatal> {
    if let Some(most) = guest.pids {
        limit("pids", "pids.max", &most.to_string())?;
    }
    if let Some(share) = guest.cpu_limit {
        let quota = u64::from(share.thousandths()) * PERIOD / 1000;
        limit("cpu", "cpu.max", &format!("{quota} {PERIOD}"))?;
    }
    Ok(())
}

fn limit(controller: &str, file: &str, value: &str) -> Result<(), Fatal> {
    const STAGE: &str = "limit the box";
    std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{controller}")).stage(STAGE)?;
    std::fs::write(format!("{CGROUP}/{file}"), value).stage(STAGE)
}
