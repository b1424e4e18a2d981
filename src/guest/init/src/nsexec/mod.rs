//! `nsexec`: runs a command in a further set of namespaces, from inside a box.
//!
//! An agent isolates the code that it has generated from itself: that code has a process tree, mounts, IPC and a
//! network of its own, no capabilities, and a root that it can only read. Making such namespaces takes
//! privileges that nobody in a box has, so the command asks init, over a socket that only the box's own network
//! namespace has, and init finds out who asks from the kernel alone.
//!
//! `client` is the command, `server` is init's side, `isolate` is what happens in the new processes.

mod client;
mod isolate;
mod request;
mod server;

pub(crate) use client::main;
pub(crate) use server::serve;

/// The socket's name, in the abstract namespace (unix(7)).
const SOCKET: &[u8] = b"a3s-box/nsexec";

/// What init answers with: a byte that says what, then the rest.
mod answer {
    /// The terminal of the command, as a descriptor.
    pub(super) const TERMINAL: u8 = b'T';
    /// The command has ended: its exit code follows, as a shell would report it.
    pub(super) const ENDED: u8 = b'E';
    /// The command could not be started: an exit code follows, then why, to the end of the stream.
    pub(super) const FAILED: u8 = b'F';
}
