//! Generated types and services. `tests/generated.rs` compares them with `proto/`.

/// `a3s.box.agent.v1`: what the guest init serves.
#[rustfmt::skip]
#[path = "a3s.box.agent.v1.rs"]
pub mod agent;

/// `a3s.box.shim.v1`: what the shim serves.
#[rustfmt::skip]
#[path = "a3s.box.shim.v1.rs"]
pub mod shim;
