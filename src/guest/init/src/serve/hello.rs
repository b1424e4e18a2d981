//! `Hello`: the handshake, and when this guest came up.

use super::Guest;
use crate::boot::uptime_us;
use crate::process::value;
use a3s_box_agent::PROTOCOL_VERSION;
use a3s_box_agent::proto::agent::{HelloReply, HelloRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::Status;

pub(super) fn hello(guest: &Guest, request: &HelloRequest) -> Result<HelloReply, Status> {
    if request.version != PROTOCOL_VERSION {
        return Err(Status::failed_precondition(format!(
            "the host speaks version {} of the agent protocol, this guest {PROTOCOL_VERSION}",
            request.version
        )));
    }
    Ok(HelloReply {
        version: PROTOCOL_VERSION,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        init_us: guest.times.init_us,
        mounted_us: guest.times.mounted_us,
        process_us: guest.process_us.load(Ordering::Relaxed),
    })
}

/// Notes when the container process has become its program.
pub(super) async fn note_start(guest: Arc<Guest>) {
    value(&mut guest.main_started.clone()).await;
    guest.process_us.store(uptime_us(), Ordering::Relaxed);
}
