//! The way from the shim to the guest init: any number of byte streams.

use super::krun::Vsock;
use a3s_box_agent::mux::Opener;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::UnixStream;

const BUFFER: usize = 64 << 10;

/// A byte stream to the guest init.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How streams are opened.
#[derive(Clone)]
pub(crate) enum Link {
    /// All streams share one virtio-serial port.
    Serial(Opener),
    /// Each stream is a vsock connection.
    Vsock(Vsock),
}

impl Link {
    /// Opens a stream. One that is opened before the guest init serves is kept until it does.
    ///
    /// # Errors
    /// `NotConnected` once the guest is gone; `Other` where too many streams are open.
    pub(crate) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Serial(opener) => Box::new(opener.open().await?),
            Self::Vsock(vsock) => Box::new(vsock.open().await?),
        })
    }

    /// Connects a client to the guest init until either of them goes away.
    pub(crate) async fn carry(&self, mut client: UnixStream) -> io::Result<()> {
        match self {
            Self::Serial(opener) => {
                let mut stream = opener.open().await?;
                copy_bidirectional_with_sizes(&mut client, &mut stream, BUFFER, BUFFER).await.map(drop)
            }
            Self::Vsock(vsock) => vsock.carry(client).await,
        }
    }
}
