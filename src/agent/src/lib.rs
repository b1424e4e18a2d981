//! The protocol between host, shim and guest init.
//!
//! Owns the two gRPC services (`proto/agent.proto`: the guest init; `proto/shim.proto`: the shim), how a
//! connection to one is made over any byte stream, and how many such streams share the one byte stream that
//! QEMU's virtio-serial port gives ([`mux`]). It decides nothing about boxes. The guest init serves the agent,
//! the shim serves the shim and calls the agent, the runtime calls both.
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
mod channel;
mod convert;
#[cfg(any(feature = "client", feature = "server"))]
mod gather;
pub mod mux;
#[allow(missing_docs, clippy::all, reason = "generated from proto/, which is where it is documented")]
pub mod proto;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "client")]
pub mod socket;

#[cfg(feature = "client")]
pub use channel::{AgentClient, Channel, ShimClient, agent_client, shim_client};
pub use convert::InvalidMessage;
#[cfg(feature = "server")]
pub use serve::{Window, serve, serve_until};

/// The version of the agent protocol, which both ends name in `Hello`.
pub const PROTOCOL_VERSION: u32 = 1;

/// The vsock port on which the guest init serves the agent.
pub const AGENT_PORT: u32 = 4089;

/// The name of the virtio-serial port that carries the agent's streams where there is no vsock.
pub const AGENT_PORT_NAME: &str = "a3s.agent";

/// The most bytes of a process's output or input that one message carries.
pub const CHUNK: usize = 64 << 10;

/// The most bytes of an HTTP/2 frame: a message of [`CHUNK`] bytes in one, which is one packet on its way.
#[cfg(any(feature = "client", feature = "server"))]
const FRAME: u32 = 80 << 10;

/// The largest message that either end accepts: a command line may be as long as Linux's `ARG_MAX`.
pub const MAX_MESSAGE: usize = 16 << 20;
