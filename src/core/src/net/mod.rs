//! What a user may ask of a box's network, and what the shim is told of it.

mod cidr;
mod config;
mod learn;
mod name;
mod ports;
mod publish;
mod record;
mod resolver;
mod rule;
mod secret;
mod spec;

pub use cidr::Cidr;
pub use config::{NetworkConfig, NetworkMode};
pub use name::NetworkName;
pub use ports::Ports;
pub use publish::{PortMapping, Transport};
pub use record::{NetCounters, NetRecord, NetSubject, NetWay};
pub use resolver::NetResolver;
pub use rule::{NamePattern, NetDefault, NetPolicy, NetRule, RuleTarget, Verdict};
pub use secret::{Secret, SecretHost, SecretSource};
pub use spec::{NeighbourSpec, NetAddresses, NetLimits, NetSpec, NetTrust, NetworkMembership};
