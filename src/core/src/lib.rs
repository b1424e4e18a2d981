//! Plain types and parsing shared by every part of A3S Box.
//!
//! Owns the words of the project: what a box is configured as, what it is named, which state it is in,
//! what the runtime tells the shim and the guest, and how errors look. It does no I/O, starts nothing and
//! knows no async runtime; every other crate depends on it.
#![forbid(unsafe_code)]

mod bind;
mod config;
mod error;
mod event;
mod exec;
mod guest;
mod health;
mod hook;
mod id;
mod job;
mod log;
mod moment;
mod name;
mod nearest;
mod net;
mod policy;
mod probe;
mod run;
mod signal;
mod size;
mod spec;
mod state;
mod tee;
mod template;
mod vmm;
mod volume;

pub use bind::{BindMount, BindPoint, MAX_BINDS, Mount};
pub use config::{BoxConfig, MAX_CPUS, MIN_MEMORY, validate_hostname};
pub use error::{BoxError, ErrorKind, Result};
pub use event::{BoxEvent, EventKind, event_labels};
pub use exec::{ExecRequest, TtySize};
pub use guest::{
    Capability, CpuShare, GuestConfig, HostEntry, Limit, Tmpfs, Ulimit, capabilities, mount_point,
    validate_sysctl,
};
pub use health::{BoxHealth, HealthCheck, HealthConfig, HealthState, KEPT_OUTPUT, KEPT_PROBES, Probe, Span};
pub use hook::Hook;
pub use id::{BoxId, HostProcess};
pub use job::{JOB_LOG, JobExit, JobName, JobRecord};
pub use log::{LogConfig, LogRecord, LogStream};
pub use moment::parse_moment;
pub use name::BoxName;
pub use nearest::{did_you_mean, nearest};
pub use net::{
    Cidr, NamePattern, NeighbourSpec, NetAddresses, NetCounters, NetDefault, NetLimits, NetPolicy, NetRecord,
    NetResolver, NetRule, NetSpec, NetSubject, NetTrust, NetWay, NetworkConfig, NetworkMembership,
    NetworkMode, NetworkName, PortMapping, Ports, RuleTarget, Secret, SecretHost, SecretSource, Transport,
    Verdict,
};
pub use policy::{BackOff, RestartPolicy, RunPolicy};
pub use probe::{HostProbe, KvmVerdict};
pub use run::{BootPhase, BootTrace, ExitReason, RunExit, RunStatus};
pub use signal::Signal;
pub use size::Bytes;
pub use spec::{BootSpec, ShimSpec, Upper, Wake};
pub use state::BoxState;
pub use tee::{SevSnpGeneration, TeeConfig, TeeGap, TeeNotSupported};
pub use template::{TemplateHead, boot_of_template, template_key};
pub use vmm::{Accel, AccelChoice, Capabilities, Kernel, KernelChoice, Vmm, VmmChoice};
pub use volume::{MAX_VOLUMES, VolumeDisk, VolumeMount, VolumeName, volume_serial};
