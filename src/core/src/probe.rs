//! What the shim finds out about this host for the runtime.

use serde::{Deserialize, Serialize};

/// What `a3s-box-shim probe` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostProbe {
    /// The version of libkrun in the shim; none in a build without it.
    pub krun: Option<String>,
    /// What KVM is worth.
    pub kvm: KvmVerdict,
    /// What keeps Apple's Hypervisor framework from running guests; none where nothing does, and where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hvf: Option<String>,
    /// The version of Landlock's interface; 0 where the host has none.
    pub landlock: u32,
    /// Whether libkrun in the shim is the one for SEV-SNP guests.
    #[serde(default)]
    pub sev_snp: bool,
}

/// What a throw-away VM on `/dev/kvm` has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvmVerdict {
    /// It runs all guest code in hardware.
    Full,
    /// It runs the guest's ring 3 in hardware and interprets its ring 0, as the reason says.
    Ring3(String),
    /// It is of no use, for this reason.
    Unusable(String),
}
