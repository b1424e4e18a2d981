//! End-to-end tests. Every one boots real MicroVMs; one file tells the stories of one matter.
//!
//! Run them with `cargo xtask e2e`, which makes what they need.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod attacks;
mod bad_input;
mod binds;
mod box_file;
mod changes;
mod completion;
mod confinement;
mod cp;
mod damage;
mod docker_examples;
mod doctor;
mod events;
mod exec;
mod forms;
mod full_disk;
mod giving_back;
mod harness;
mod health;
mod images;
mod inside;
mod jobs;
mod kills;
mod lifecycle;
mod listing;
mod model;
mod network;
mod nsexec;
mod odd_images;
mod options;
mod output;
mod pause;
mod policies;
mod readme;
mod secrets;
mod terminal;
mod traffic;
mod tree;
#[cfg(target_arch = "x86_64")]
mod virtio;
mod volumes;
mod websocket;
