//! The lifecycle of boxes.
//!
//! Owns the state directory (`~/.a3s`): which boxes there are ([`BoxRecord`]), what state each is in, where the
//! image store and the shims' folders lie. [`Engine`] is its one door, with a file for each verb. It runs no
//! daemon: every call reads the state anew, and what runs on after it is a shim a box. The command line and
//! the SDKs call it; it calls the image store, starts shims and speaks with them and with the guests.
#![deny(unsafe_code)]

mod engine;
mod guest;
mod home;
mod host;
mod labels;
mod preflight;
mod settings;
mod state;
mod sys;

pub use engine::{
    Attachment, BoxView, Engine, ExecConfig, ExecEvent, ExecSession, ExitStatus, ImageFilter, ImageView,
    Info, LayerStep, LayersView, ProcessInfo, ProcessInput, PullOptions, RunEnd, RunEvent, Usage, VmmInfo,
};
pub use home::Home;
pub use state::{BoxRecord, ImagePin};
