//! End-to-end tests. Every one boots real MicroVMs; one file tells the stories of one matter.
//!
//! Run them with `cargo xtask e2e`, which makes what they need.

mod bad_input;
mod exec;
mod harness;
mod kills;
mod lifecycle;
mod nsexec;
mod odd_images;
mod output;
mod readme;
mod terminal;
mod tree;
