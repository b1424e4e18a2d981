//! From the kernel's first step in user space to a container process that runs and an agent that serves.
//!
//! Whatever fails before that ends the machine with a line on the console that the host looks for.

mod binds;
mod devices;
mod fatal;
mod limits;
mod mounts;
mod network;
mod told;
mod trust;
mod volumes;

pub(crate) use binds::{Bind, Binds};
pub(crate) use fatal::{Fatal, power_off};
pub(crate) use mounts::{CGROUP, LOWER, UPPER, unmount_upper};
pub(crate) use told::set_clock;
pub(crate) use volumes::unmount_volumes;

use crate::process::{Container, Forked, Mounted, Parts};
use crate::{reap, serve};
use a3s_box_core::{BootSpec, Upper, VolumeMount, volume_serial};
use fatal::Stage;
use mounts::Names;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

/// The guest's own mounts, which no process in the box sees.
pub(crate) const OWN_MOUNTS: &[&str] = &["/proc", "/sys", "/dev", mounts::UPPER, mounts::LOWER];

/// When boot passed its milestones, in microseconds of `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The first instruction of this program.
    pub(crate) init_us: u64,
    /// The box's root is complete.
    pub(crate) mounted_us: u64,
}

/// Now, in microseconds of `CLOCK_BOOTTIME`.
pub(crate) fn uptime_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// Is the first process, until the machine ends.
pub(crate) fn init() -> ! {
    std::panic::set_hook(Box::new(|panic| fatal::end("init", panic)));
    let Fatal { stage, reason } = match live() {
        Ok(never) => match never {},
        Err(fatal) => fatal,
    };
    fatal::end(stage, &reason)
}

enum Never {}

fn live() -> Result<Never, Fatal> {
    let init_us = uptime_us();
    crate::sys::trim_eagerly();
    // First of all: the host asks until somebody listens, and each time costs this guest an interrupt.
    let listener = crate::port::listen().stage("listen for the host")?;
    mounts::own()?;
    // Nobody in the box may look into this process, or into its children until they exec.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).stage("init")?;
    // As the last one to go, should memory run out.
    std::fs::write("/proc/self/oom_score_adj", "-1000").stage("init")?;
    let signals = reap::signals().stage("init")?;
    let cgroup = mounts::cgroup()?;
    let resolver = network::configure()?;
    // Up to here all guests are alike.
    let (spec, port) = told::read()?;
    let (times, (container, binds), main) = start(spec, cgroup, resolver, init_us)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().stage("serve the agent")?;
    let error = runtime.block_on(serve::run(times, (container, binds), main, signals, (port, listener)));
    Err(Fatal::new("serve the agent", error))
}

/// Puts the root together and forks the container process, which goes on by itself from there.
fn start(
    spec: BootSpec,
    cgroup: OwnedFd,
    resolver: Option<IpAddr>,
    init_us: u64,
) -> Result<(Times, (Container, Binds), Forked), Fatal> {
    limits::set(&spec.guest)?;
    let (root, mut mounts) = root(&spec, resolver)?;
    let (binds, of_host) = binds::open(&spec.binds, root.as_fd(), &spec.process.user)?;
    mounts.extend(of_host);
    let mounted_us = uptime_us();
    let volumes = spec.volumes.len();
    let parts = Parts { hostname: spec.hostname, root, cgroup, mounts, volumes, guest: spec.guest };
    let (container, main) = Container::start(parts, spec.process).stage("container process")?;
    mounts::protect()?;
    Ok((Times { init_us, mounted_us }, (container, binds), main))
}

/// The box's root, and what is to be mounted in it.
fn root(spec: &BootSpec, resolver: Option<IpAddr>) -> Result<(OwnedFd, Vec<Mounted>), Fatal> {
    let serials: Vec<String> = (0..spec.volumes.len()).map(volume_serial).collect();
    let mut needed = vec!["rootfs"];
    needed.extend((spec.upper == Upper::Disk).then_some("upper"));
    needed.extend(serials.iter().map(String::as_str));
    let disks = devices::find(&needed)?;
    let (own, of_volumes) = disks.split_at(disks.len() - serials.len());
    let names = Names { hostname: &spec.hostname, hosts: &spec.guest.hosts, resolver };
    let root = mounts::root(&own[0], own.get(1).map(String::as_str), &names, spec.trust.as_ref())?;
    let mounts = volumes::open(&spec.volumes, of_volumes)?;
    let mounted = |(volume, mount): (&VolumeMount, OwnedFd)| Mounted {
        path: volume.target.clone(),
        mount,
        file: false,
    };
    Ok((root, spec.volumes.iter().zip(mounts).map(mounted).collect()))
}
