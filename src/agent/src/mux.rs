//! Many byte streams over one: yamux on QEMU's virtio-serial port.
//!
//! The host opens streams, one for each connection to `agent.sock`; the guest accepts them. Each stream has a
//! flow-control window of its own, so a slow reader of one does not hold up the others.

use futures_util::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

/// The most streams at once; whoever opens streams keeps further connections waiting.
pub const MAX_STREAMS: usize = 96;
/// The most unread bytes that the peer may have under way, over all streams, and so the memory that they may
/// take: the least that yamux accepts for that many streams.
const MAX_UNREAD: usize = MAX_STREAMS * (256 << 10);

/// One stream, as an ordinary tokio byte stream.
pub type MuxStream = Compat<yamux::Stream>;

type Session<T> = yamux::Connection<Compat<T>>;
type Open = oneshot::Sender<io::Result<MuxStream>>;

fn session<T: AsyncRead + AsyncWrite + Unpin>(io: T, mode: yamux::Mode) -> Session<T> {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config.set_max_connection_receive_window(Some(MAX_UNREAD));
    yamux::Connection::new(io.compat(), config, mode)
}

/// The host's end: opens streams to the guest.
#[derive(Debug, Clone)]
pub struct Opener(mpsc::Sender<Open>);

impl Opener {
    /// A session over what `ready` gives, driven by a task of the current runtime until that ends. Whoever opens
    /// streams waits for it; where it gives nothing, the session has ended.
    pub fn over<T>(ready: impl Future<Output = Option<T>> + Send + 'static) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, requests) = mpsc::channel(16);
        tokio::spawn(async move {
            if let Some(io) = ready.await {
                drive(session(io, yamux::Mode::Client), requests).await;
            }
        });
        Self(sender)
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// `NotConnected` once the session has ended; `Other` where too many streams are open.
    pub async fn open(&self) -> io::Result<MuxStream> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let (answer, stream) = oneshot::channel();
        self.0.send(answer).await.map_err(|_| gone())?;
        stream.await.map_err(|_| gone())?
    }

    /// Waits until the session has ended.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// Drives the host's session: answers requests for streams, and lets everything else flow meanwhile.
async fn drive<T: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session<T>,
    mut requests: mpsc::Receiver<Open>,
) {
    let mut waiting: Option<Open> = None;
    poll_fn(|cx| {
        loop {
            if waiting.is_none()
                && let Poll::Ready(Some(request)) = requests.poll_recv(cx)
            {
                waiting = Some(request);
            }
            if let Some(answer) = waiting.take() {
                match session.poll_new_outbound(cx) {
                    Poll::Ready(stream) => {
                        // A requester that gave up drops the stream, which closes it.
                        drop(answer.send(stream.map(|s| s.compat()).map_err(io::Error::other)));
                        continue;
                    }
                    Poll::Pending => waiting = Some(answer),
                }
            }
            match session.poll_next_inbound(cx) {
                // The guest has no business opening streams: dropping one resets it.
                Poll::Ready(Some(Ok(stream))) => drop(stream),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// The guest's end: accepts the streams that the host opens.
pub struct Acceptor<T>(Session<T>);

impl<T: AsyncRead + AsyncWrite + Unpin> Acceptor<T> {
    /// A session over `io`.
    pub fn over(io: T) -> Self {
        Self(session(io, yamux::Mode::Server))
    }

    /// The next stream; none once the session has ended. Streams move only while this is being polled.
    pub async fn accept(&mut self) -> Option<MuxStream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<MuxStream>> {
        self.0.poll_next_inbound(cx).map(|next| next.and_then(Result::ok).map(|s| s.compat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo_guest(io: tokio::io::DuplexStream) {
        let mut acceptor = Acceptor::over(io);
        while let Some(stream) = acceptor.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                drop(tokio::io::copy(&mut reader, &mut writer).await);
                drop(writer.shutdown().await);
            });
        }
    }

    #[tokio::test]
    async fn streams_do_not_hold_one_another_up() {
        let (host, guest) = tokio::io::duplex(4096);
        tokio::spawn(echo_guest(guest));
        let opener = Opener::over(async { Some(host) });

        // One stream is written to until nothing moves any more, and never read.
        let mut stuck = opener.open().await.unwrap();
        let block = vec![7u8; 64 << 10];
        while tokio::time::timeout(Duration::from_millis(200), stuck.write_all(&block)).await.is_ok() {}

        let mut live = opener.open().await.unwrap();
        let data: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
        let (mut reader, mut writer) = tokio::io::split(&mut live);
        let mut back = vec![0; data.len()];
        let both = async { tokio::join!(writer.write_all(&data), reader.read_exact(&mut back)) };
        let (sent, received) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        sent.unwrap();
        received.unwrap();
        assert!(back == data);
    }

    #[tokio::test]
    async fn a_session_whose_peer_went_away_says_so() {
        let (host, guest) = tokio::io::duplex(4096);
        let opener = Opener::over(async { Some(host) });
        drop(guest);
        opener.closed().await;
        assert_eq!(opener.open().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}
