//! In the guest init's place on the way to the host, saying what it would not.

use crate::sys;
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

/// `a3s_box_agent::AGENT_PORT` and `AGENT_PORT_NAME`.
const PORT: u32 = 4089;
const NAME: &str = "a3s.agent";

/// Says what `say` says on every stream that the host opens.
pub(crate) fn speak(say: fn(&mut File)) {
    if let Some(mut port) = serial_port() {
        return say(&mut port);
    }
    let Ok(listener) = sys::vsock_listen(PORT) else { return println!("attacker: no way to the host") };
    while let Ok(mut stream) = sys::accept(&listener) {
        std::thread::spawn(move || say(&mut stream));
    }
}

/// What the host says first on the serial port: a length and as much JSON.
pub(crate) fn listen() -> String {
    let Some(mut port) = serial_port() else { return String::new() };
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match port.read(&mut chunk) {
            // Nobody is at the other end yet.
            Ok(0) => std::thread::sleep(Duration::from_millis(1)),
            Ok(count) => said.extend_from_slice(&chunk[..count]),
            Err(_) => return String::new(),
        }
        let length = said.first_chunk().map(|length| u32::from_le_bytes(*length));
        if let Some(length) = length
            && said.len() >= 4 + usize::try_from(length).unwrap_or(usize::MAX)
        {
            return String::from_utf8_lossy(&said[4..]).into_owned();
        }
    }
}

fn serial_port() -> Option<File> {
    // The port is there before the first process, or a moment later.
    for _ in 0..200 {
        for entry in std::fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim_end() == NAME {
                let path = format!("/dev/{}", entry.file_name().to_string_lossy());
                return File::options().read(true).write(true).open(path).ok();
            }
        }
        if std::path::Path::new("/dev/vsock").exists() && !std::path::Path::new("/dev/vport0p1").exists() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Bytes without a meaning, for as long as the host takes them.
pub(crate) fn noise(stream: &mut File) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = [0; 4096];
    loop {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        if stream.write_all(&block).is_err() {
            return;
        }
    }
}

/// Frames of both protocols that are right but for what they say: a stream of 4 GiB that nobody opened (yamux), then
/// settings, and headers without an end for a stream that nobody asked for (HTTP/2).
pub(crate) fn frames(stream: &mut File) {
    let yamux = [0, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff];
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let headers = [0, 0x40, 0, 1, 0, 0, 0, 0, 1];
    let continuation = [0, 0x40, 0, 9, 0, 0, 0, 0, 1];
    let fill = [0x40; 0x4000];
    let first = if sys::is_character_device(stream) { &yamux[..] } else { &settings[..] };
    if stream.write_all(first).is_err() || stream.write_all(&headers).is_err() {
        return;
    }
    while stream.write_all(&fill).is_ok() && stream.write_all(&continuation).is_ok() {}
}

/// Not a word, and every word of the host's is taken.
pub(crate) fn silence(stream: &mut File) {
    let mut taken = [0; 4096];
    while matches!(stream.read(&mut taken), Ok(1..)) {}
}
