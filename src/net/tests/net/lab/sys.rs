//! The laboratory's unsafe code: making a TAP device.
#![allow(unsafe_code, reason = "the TUNSETIFF ioctl has no safe form")]

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

/// Moves this thread into the network namespace of process `pid`.
pub(super) fn enter_network(pid: u32) {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// Makes the TAP device `name` in this thread's network namespace. Each read is a frame, and each write.
pub(super) fn tap(name: &str) -> File {
    let file = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    let flags = u16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap();
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the request is as long as a struct ifreq, and lives through the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    assert_eq!(result, 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    file
}
