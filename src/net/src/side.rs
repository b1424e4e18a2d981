//! One side of a connection that we stand in the middle of: a socket, and TLS over it where there is any.

use crate::sys;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustls::Connection;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

/// What TLS holds of what is to be sent.
const MAX_UNSENT: usize = 32 << 10;
/// One read.
const READ: usize = 16 << 10;

/// Why a side is of no more use.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Its socket failed.
    Socket(Errno),
    /// What came is not what TLS has there.
    Tls(rustls::Error),
}

impl From<Errno> for Broken {
    fn from(error: Errno) -> Self {
        Self::Socket(error)
    }
}

/// One side.
pub(crate) struct Side {
    socket: OwnedFd,
    tls: Option<Connection>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Whether no more comes from it.
    pub(crate) ended: bool,
    /// Whether that came without a word, so that something may be missing.
    pub(crate) cut: bool,
    /// Whether it was told that no more comes from us.
    pub(crate) shut: bool,
    /// What is to be sent, before TLS.
    pub(crate) unsent: Vec<u8>,
}

/// A socket as TLS has it.
struct Wire<'a>(&'a OwnedFd);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buffer, RecvFlags::DONTWAIT).map(|(_, count)| count)?)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, sys::NO_SIGNAL | SendFlags::DONTWAIT)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Side {
    pub(crate) fn new(socket: OwnedFd, mut tls: Option<Connection>) -> Self {
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(Some(MAX_UNSENT));
        }
        Self {
            socket,
            tls,
            readable: true,
            writable: true,
            ended: false,
            cut: false,
            shut: false,
            unsent: Vec::new(),
        }
    }

    /// Whether TLS still has to agree on keys.
    pub(crate) fn is_greeting(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether it may be given more to send.
    pub(crate) fn has_room(&self) -> bool {
        self.unsent.len() < MAX_UNSENT
    }

    /// Reads a piece of what has come to the end of `buffer`. Whether there was anything.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Broken> {
        if self.ended {
            return Ok(false);
        }
        let start = buffer.len();
        buffer.resize(start + READ, 0);
        let result = self.read(&mut buffer[start..]);
        buffer.truncate(start + result.as_ref().map_or(0, |(count, _)| *count));
        result.map(|(count, moved)| moved || count > 0)
    }

    /// How many bytes there were, and whether anything happened.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(usize, bool), Broken> {
        let Some(tls) = &mut self.tls else {
            if !self.readable {
                return Ok((0, false));
            }
            return match recv(&self.socket, buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    self.ended = true;
                    Ok((0, true))
                }
                Ok((_, count)) => Ok((count, true)),
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    Ok((0, false))
                }
                Err(Errno::INTR) => Ok((0, true)),
                Err(error) => Err(error.into()),
            };
        };
        match tls.reader().read(buffer) {
            Ok(0) => {
                self.ended = true;
                return Ok((0, true));
            }
            Ok(count) => return Ok((count, true)),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                (self.ended, self.cut) = (true, true);
                return Ok((0, true));
            }
            Err(_) => {}
        }
        if !self.readable {
            return Ok((0, false));
        }
        match tls.read_tls(&mut Wire(&self.socket)) {
            Ok(count) => {
                if let Err(error) = tls.process_new_packets() {
                    // The other side is told what it did wrong.
                    while tls.wants_write() && tls.write_tls(&mut Wire(&self.socket)).is_ok() {}
                    return Err(Broken::Tls(error));
                }
                // Without an end that TLS knows of, before there was a beginning.
                if count == 0 && tls.is_handshaking() {
                    (self.ended, self.cut) = (true, true);
                }
                Ok((0, true))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok((0, false))
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok((0, true)),
            Err(e) => Err(Errno::from_io_error(&e).unwrap_or(Errno::IO).into()),
        }
    }

    /// Sends what the socket takes. Whether anything happened.
    pub(crate) fn flush(&mut self) -> Result<bool, Broken> {
        let mut moved = false;
        loop {
            let Some(tls) = &mut self.tls else {
                while self.writable && !self.unsent.is_empty() {
                    match send(&self.socket, &self.unsent, sys::NO_SIGNAL | SendFlags::DONTWAIT) {
                        Ok(count) => {
                            self.unsent.drain(..count);
                            moved = true;
                        }
                        Err(Errno::AGAIN) => self.writable = false,
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                return Ok(moved);
            };
            let taken = tls.writer().write(&self.unsent).unwrap_or(0);
            self.unsent.drain(..taken);
            let mut sent = false;
            while self.writable && tls.wants_write() {
                match tls.write_tls(&mut Wire(&self.socket)) {
                    Ok(_) => sent = true,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(Errno::from_io_error(&e).unwrap_or(Errno::IO).into()),
                }
            }
            moved |= sent || taken > 0;
            if !sent || self.unsent.is_empty() {
                return Ok(moved);
            }
        }
    }

    /// Tells it that no more comes, once all has gone. `politely` says that it was all there is.
    pub(crate) fn finish(&mut self, politely: bool) -> Result<bool, Broken> {
        let unsent = !self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        if self.shut || unsent || self.is_greeting() && politely {
            return Ok(false);
        }
        if let Some(tls) = self.tls.as_mut().filter(|_| politely) {
            tls.send_close_notify();
            self.flush()?;
        }
        self.shut = true;
        match shutdown(&self.socket, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}
