//! `Signal`: to the container process, or to any other process of the box by the id that the box sees.

use super::Guest;
use super::processes;
use crate::process;
use a3s_box_agent::proto::agent::SignalRequest;
use std::os::fd::AsFd;
use tonic::Status;

pub(super) fn signal(guest: &Guest, request: &SignalRequest) -> Result<(), Status> {
    let number = request.signal;
    if !(1..=64).contains(&number) {
        return Err(Status::invalid_argument(format!(
            "signal {number} is out of range: signals are 1 to 64"
        )));
    }
    let sent = if request.pid == 0 {
        crate::sys::send_signal(guest.container.main(), number)
    } else {
        let pidfd = processes::open(request.pid)
            .map_err(|e| Status::internal(format!("cannot look for process {}: {e}", request.pid)))?
            .ok_or_else(|| Status::not_found(format!("no process {} in the box", request.pid)))?;
        crate::sys::send_signal(pidfd.as_fd(), number)
    };
    sent.map_err(|e| match e.raw_os_error() {
        Some(libc::ESRCH) => Status::not_found("the process has ended"),
        _ => Status::internal(format!("cannot send signal {number}: {e}")),
    })
}

/// Sends a signal to a process that a client is connected to; one that has ended needs none.
pub(super) fn forward(process: &std::os::fd::OwnedFd, number: i32) {
    if (1..=64).contains(&number) {
        drop(process::signal(process, number));
    }
}
