//! Carries frames between a guest's TAP device and the stream, as a VMM does.

use super::{sh, sys};
use a3s_box_core::NetAddresses;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

const LONGEST: usize = 70_000;

/// Gives the guest whose namespaces process `pid` holds a network device at the other end of `stream`.
pub(super) fn start(pid: u32, addresses: &NetAddresses, stream: UnixStream) {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        sys::enter_network(pid);
        sender.send(sys::tap("eth0")).unwrap();
    });
    let tap = receiver.recv().unwrap();
    let mac = addresses.mac_text();
    let NetAddresses { guest4, gateway4, prefix4, guest6, gateway6, prefix6, mtu, .. } = addresses;
    sh(&format!(
        "nsenter --target {pid} --net sh -ec '
            ip link set lo up
            ip link set eth0 address {mac} mtu {mtu} up
            ip addr add {guest4}/{prefix4} dev eth0
            ip -6 addr add {guest6}/{prefix6} dev eth0 nodad
            ip route add default via {gateway4}
            ip -6 route add default via {gateway6}'"
    ));
    let (out, from) = (tap.try_clone().unwrap(), stream.try_clone().unwrap());
    std::thread::spawn(move || upward(tap, stream));
    std::thread::spawn(move || downward(from, out));
}

fn upward(mut tap: File, mut stream: UnixStream) {
    let mut buffer = vec![0; LONGEST];
    while let Ok(length) = tap.read(&mut buffer[4..]) {
        buffer[..4].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        if stream.write_all(&buffer[..4 + length]).is_err() {
            return;
        }
    }
}

fn downward(mut stream: UnixStream, mut tap: File) {
    let mut buffer = vec![0; 4 * LONGEST];
    let (mut start, mut end) = (0, 0);
    loop {
        while let Some(prefix) = buffer[start..end].first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap();
            if end - start < 4 + length {
                break;
            }
            // A frame that the guest's device refuses is lost, as it is in a VMM.
            let _ = tap.write(&buffer[start + 4..start + 4 + length]);
            start += 4 + length;
        }
        buffer.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        match stream.read(&mut buffer[end..]) {
            Ok(count) if count > 0 => end += count,
            _ => return,
        }
    }
}
