//! Streams over libkrun's vsock: each is a connection to the UNIX socket that libkrun listens on.
//!
//! libkrun accepts at once and asks the guest afterwards: a connection counts only when the guest init has said
//! its first word on it, which in HTTP/2 it says unasked.

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
            match self.connect().await {
                Ok(stream) => {
                    if let Some(opened) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take() {
                        let _ = opened.send(now());
                    }
                    return Ok(stream);
                }
                // A full backlog is libkrun's to work off.
                Err(e) if self.is_booting() || e.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
                Err(e) => return Err(e),
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

    async fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.socket).await?;
        let heard = stream
            .async_io(Interest::READABLE, || {
                let mut byte = [MaybeUninit::<u8>::uninit()];
                Ok(recv(&stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1)
            })
            .await?;
        if heard == 0 { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(stream) }
    }
}
