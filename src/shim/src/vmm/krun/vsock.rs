//! Streams over libkrun's vsock: each is a connection to the UNIX socket that libkrun listens on.
//!
//! libkrun accepts at once and asks the guest afterwards: while the guest boots, a connection counts only when the guest
//! init has said its first word on it, which in HTTP/2 it says unasked. Once it has served somebody it always listens, and
//! nobody has to wait for that word before saying theirs.

use super::carry::carry;
use crate::status::now;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long to wait for a guest that does not listen yet before asking again: it costs the booting guest an
/// interrupt.
const PAUSE: Duration = Duration::from_millis(2);

/// The way to one guest's vsock.
#[derive(Clone)]
pub(crate) struct Vsock {
    socket: &'static Path,
    opened: Arc<Mutex<Option<oneshot::Sender<u64>>>>,
}

impl Vsock {
    /// Connects through the UNIX socket `socket`. The receiver is told when the guest init first answered.
    pub(super) fn at(socket: &'static Path) -> (Self, oneshot::Receiver<u64>) {
        let (opened, port_open) = oneshot::channel();
        (Self { socket, opened: Arc::new(Mutex::new(Some(opened))) }, port_open)
    }

    /// Opens a stream, waiting for a guest init that does not listen yet.
    ///
    /// # Errors
    /// Those of connect(2) once the guest init has been reached before.
    pub(crate) async fn open(&self) -> io::Result<UnixStream> {
        loop {
            let booting = self.is_booting();
            match self.connect(booting).await {
                // A full backlog is libkrun's to work off.
                Err(e) if booting || e.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
                stream => return stream,
            }
        }
    }

    /// Connects `client` to the guest init until either of them goes away.
    pub(crate) async fn carry(&self, client: UnixStream) -> io::Result<()> {
        carry(client, self.open().await?).await;
        Ok(())
    }

    fn is_booting(&self) -> bool {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    async fn connect(&self, booting: bool) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.socket).await?;
        if booting {
            first_word(&stream).await?;
            if let Some(opened) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = opened.send(now());
            }
        }
        Ok(stream)
    }
}

/// Waits until the guest init has said something.
async fn first_word(stream: &UnixStream) -> io::Result<()> {
    let mut byte = [MaybeUninit::<u8>::uninit()];
    let mut peek = || Ok(recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1);
    let heard = stream.async_io(Interest::READABLE, &mut peek).await?;
    if heard == 0 { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}
