//! A share, served over a byte stream: FUSE messages one after the other, each of which says how long it is.
//!
//! Before them comes who owns in the guest what belongs to the host's user: two numbers of four bytes, the lowest
//! first. Several threads take turns in reading; whoever has read a message answers it while the next one reads. So a
//! slow answer holds nobody up as long as there are threads, and there are never more messages than threads.

use crate::reply::Reply;
use crate::share::{Owner, Share};
use crate::wire::{IN_HEADER, MAX_MESSAGE};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// How many requests are worked on at once.
const THREADS: usize = 6;
/// What none of them needs much of.
const STACK: usize = 256 << 10;
/// What is read ahead of small messages.
const AHEAD: usize = 16 << 10;

/// How long the head of a stream is that tells the owner.
pub const OWNER: usize = 8;

/// How long the message is that begins like this; none where there is none yet, or none at all.
pub fn whole(begin: &[u8]) -> Option<usize> {
    let length = begin.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))?;
    usize::try_from(length).ok().filter(|length| (crate::wire::OUT_HEADER..=MAX_MESSAGE).contains(length))
}

/// Serves `share` over `stream` until that ends.
///
/// # Errors
/// Those of making threads.
pub fn serve(share: Share, stream: UnixStream) -> io::Result<Vec<JoinHandle<()>>> {
    let served = Arc::new(Served {
        share,
        reader: Mutex::new((BufReader::with_capacity(AHEAD, stream.try_clone()?), false)),
        writer: Mutex::new(stream),
    });
    (0..THREADS)
        .map(|_| {
            let served = Arc::clone(&served);
            Builder::new().name("files".to_owned()).stack_size(STACK).spawn(move || served.work())
        })
        .collect()
}

struct Served {
    share: Share,
    /// Whether the owner was told already.
    reader: Mutex<(BufReader<UnixStream>, bool)>,
    writer: Mutex<UnixStream>,
}

impl Served {
    fn work(&self) {
        let mut message = Vec::new();
        let mut reply = Reply::new();
        while self.next(&mut message).is_ok() {
            let written = match self.share.answer(&message, &mut reply) {
                Ok(None) => Ok(()),
                Ok(Some(bytes)) => {
                    self.writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
                }
                Err(errno) => Err(errno.into()),
            };
            if written.is_err() {
                break;
            }
        }
        // The others are to end, too, and the guest is to hear of it.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        drop(writer.shutdown(std::net::Shutdown::Both));
    }

    /// Reads the next message.
    fn next(&self, message: &mut Vec<u8>) -> io::Result<()> {
        let mut guard = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (reader, told) = &mut *guard;
        if !*told {
            let mut owner = [0; OWNER];
            reader.read_exact(&mut owner)?;
            let [a, b, c, d, e, f, g, h] = owner;
            let (uid, gid) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            self.share.set_owner(Owner { uid, gid });
            *told = true;
        }
        message.clear();
        message.resize(IN_HEADER, 0);
        reader.read_exact(message)?;
        let length =
            whole(message).filter(|length| *length >= IN_HEADER).ok_or(io::ErrorKind::InvalidData)?;
        message.resize(length, 0);
        reader.read_exact(&mut message[IN_HEADER..])
    }
}
