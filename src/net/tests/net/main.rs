//! The network of a box, against a real Linux guest without a VM: see [`lab`].
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[macro_use]
mod lab;

mod dns;
mod frames;
mod hellos;
mod limits;
mod neighbours;
mod policy;
mod ports;
mod programs;
mod rough;
mod secrets;
mod tcp;
mod udp;
