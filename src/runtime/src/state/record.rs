//! One box as it is kept in `boxes.json`.

use a3s_box_core::{
    Accel, BoxConfig, BoxId, BoxName, ExecRequest, HealthCheck, HostProcess, Kernel, Signal, Vmm,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The image that a box was made from, pinned by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePin {
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
    /// The file of the rootfs image in `rootfs/`.
    pub rootfs: String,
}

/// What a box is. Written when it is created; `rename`, `update` and `network connect` change it, and its removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxRecord {
    /// Its identity.
    pub id: BoxId,
    /// Its name, unique among the boxes.
    pub name: BoxName,
    /// What was asked for.
    pub config: BoxConfig,
    /// The image it was made from.
    pub image: ImagePin,
    /// The container process: image and configuration put together.
    pub process: ExecRequest,
    /// What `stop` sends.
    pub stop_signal: Signal,
    /// Its health check: image and configuration put together.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// Its labels: those of the image, and over them its own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The VMM that runs it, settled when it was created.
    pub vmm: Vmm,
    /// What executes it, settled when it was created.
    pub accel: Accel,
    /// The flavour of its kernel, settled when it was created.
    pub kernel: Kernel,
    /// Why these three are no better ones, where the choice was left to us.
    pub stepped_down: Option<String>,
    /// When it was created, in microseconds since the UNIX epoch.
    pub created_at: u64,
    /// Who was going to start it: a box to be removed after its run is of no use once its maker died.
    pub creator: Option<HostProcess>,
}
