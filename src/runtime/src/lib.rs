//! The lifecycle of boxes.
//!
//! Owns the state directory (`~/.a3s`): which boxes there are ([`BoxRecord`]), what state each is in, where the
//! image store and the shims' folders lie. [`Engine`] is its one door, with a file for each verb. It runs no
//! daemon: every call reads the state anew, and what runs on after it is a shim a box. The command line and
//! the SDKs call it; it calls the image store, starts shims and speaks with them and with the guests.
#![deny(unsafe_code)]

mod binds;
mod engine;
mod events;
mod filter;
mod guest;
mod health;
mod home;
mod host;
mod labels;
mod leftovers;
mod log;
mod networks;
mod preflight;
mod settings;
mod state;
mod sys;
mod volumes;

pub use a3s_box_net::Explanation;
pub use engine::{
    Attachment, BoxSize, BoxStats, BoxUpdate, BoxView, Change, CopyEnd, CopyOptions, Diagnosis, Engine,
    ExecConfig, ExecEvent, ExecSession, ExitStatus, ImageFilter, ImageView, Info, JobStart, JobView,
    LayerStep, LayersView, LogRange, MachineInfo, ProcessInfo, ProcessInput, PrunedBoxes, PullOptions,
    RunEnd, RunEvent, Usage,
};
pub use filter::{BoxFilter, EventFilter};
pub use home::Home;
pub use leftovers::{Leftover, LeftoverKind};
pub use networks::NetworkView;
pub use preflight::{Check, Health};
pub use state::{BoxRecord, ImagePin};
pub use volumes::VolumeView;
