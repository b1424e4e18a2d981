//! What the runtime tells the shim (`spec.json`) and what the shim tells the guest init (`boot.json`).

use crate::{
    Accel, BindPoint, BoxId, BoxName, Bytes, ExecRequest, GuestConfig, HealthCheck, Hook, Kernel, LogConfig,
    NetSpec, NetTrust, RunPolicy, Signal, Vmm, VolumeDisk, VolumeMount,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the writable layer of a box lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upper {
    /// An ext4 disk, seen in the guest as the block device with serial `upper`.
    Disk,
    /// The guest's memory.
    Tmpfs,
}

/// `spec.json`: one run of one box, complete. Paths are absolute; the shim's own folder is `boxes/<id>/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShimSpec {
    /// The box.
    pub id: BoxId,
    /// What it is called.
    pub name: BoxName,
    /// Its image, as it was typed.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The log of what happens to boxes, which all shims and commands share.
    pub events: PathBuf,
    /// Programs to be told.
    pub hooks: Vec<Hook>,
    /// What follows the end of a run, and when one has to end.
    pub policy: RunPolicy,
    /// The VMM that runs it.
    pub vmm: Vmm,
    /// What executes the guest.
    pub accel: Accel,
    /// vCPUs.
    pub cpus: u32,
    /// The guest's memory.
    pub memory: Bytes,
    /// The flavour of the guest kernel.
    pub flavor: Kernel,
    /// The guest kernel, an ELF `vmlinux`.
    pub kernel: PathBuf,
    /// The initramfs that holds the guest init.
    pub initramfs: PathBuf,
    /// The image's EROFS file, shared and never written.
    pub rootfs: PathBuf,
    /// The writable layer's disk, where `boot.upper` is a disk.
    pub upper: Option<PathBuf>,
    /// The disks of its volumes, as many as `boot.volumes`.
    #[serde(default)]
    pub volumes: Vec<VolumeDisk>,
    /// The folders and files of the host that it has, as many as `boot.binds`.
    #[serde(default)]
    pub binds: Vec<PathBuf>,
    /// Where guests are kept that have booted and can be gone on from; the shims share the folder.
    pub templates: PathBuf,
    /// Milliseconds from the VMM's start to a running container process.
    pub boot_timeout_ms: u64,
    /// The signal that `stop` sends to the container process.
    pub stop_signal: Signal,
    /// Whether nothing of the writable layer is wanted after the run, so that it may end without unmounting.
    pub discard: bool,
    /// The box's network, where it has one.
    #[serde(default)]
    pub network: Option<NetSpec>,
    /// How to see whether the container process is well, where that is to be seen.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// How much of the container process's output is kept.
    #[serde(default)]
    pub log: LogConfig,
    /// What the guest needs to know.
    pub boot: BootSpec,
}

/// What a guest whose initramfs holds no `boot.json` reads from the agent's port before it does anything for a box:
/// its length in four bytes, the lowest first, and then itself as JSON. The guest may have booted for another box,
/// some time ago, and been copied since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wake {
    /// What time it is, in nanoseconds since the UNIX epoch.
    pub clock_ns: u64,
    /// What no other guest knows, for its random numbers.
    pub seed: [u8; 32],
    /// The box.
    pub boot: BootSpec,
}

/// `boot.json`: what the guest init reads at the root of its initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSpec {
    /// The host name inside the box.
    pub hostname: String,
    /// Where writes go.
    pub upper: Upper,
    /// Its volumes; each is the block device with the serial `volumeN`, counted from 0.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
    /// Its bind mounts.
    #[serde(default)]
    pub binds: Vec<BindPoint>,
    /// What the box finds inside.
    #[serde(default)]
    pub guest: GuestConfig,
    /// The container process.
    pub process: ExecRequest,
    /// Whom the box is to believe, where its network puts secrets into what it sends.
    #[serde(default)]
    pub trust: Option<NetTrust>,
}
