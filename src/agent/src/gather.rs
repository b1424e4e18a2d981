//! Small writes that come together leave together.
//!
//! HTTP/2 writes its preface, its settings, a request's head and its first message one by one. Towards a guest each would be
//! a packet of its own, with an interrupt.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is held. What is larger goes by itself.
const MOST: usize = 4096;

/// A byte stream that holds what is written until every task that has something to say has had its turn.
pub(crate) struct Gather<T> {
    io: T,
    held: Vec<u8>,
    /// Whether the others have had their turn since the last flush.
    waited: bool,
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    pub(crate) fn new(io: T) -> Self {
        Self { io, held: Vec::new(), waited: false }
    }

    /// Writes what is held.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..written);
        }
        self.waited = false;
        Poll::Ready(Ok(()))
    }

    /// Makes room for `length` bytes; whether they are to be held.
    fn poll_room(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        if self.held.len() + length > MOST {
            ready!(self.poll_release(cx))?;
        }
        Poll::Ready(Ok(length <= MOST))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(cx, bytes.len()))? {
            return Pin::new(&mut self.io).poll_write(cx, bytes);
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if !ready!(self.poll_room(cx, length))? {
            return Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        }
        parts.iter().for_each(|part| self.held.extend_from_slice(part));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_several_tasks_write_is_read_at_once() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let near = std::sync::Arc::new(tokio::sync::Mutex::new(Gather::new(near)));
        near.lock().await.write_all(b"the first").await.unwrap();
        let first = std::sync::Arc::clone(&near);
        let flushing = tokio::spawn(std::future::poll_fn(move |cx| {
            let Ok(mut near) = first.try_lock() else { panic!("nobody holds it across a turn") };
            Pin::new(&mut *near).poll_flush(cx)
        }));
        tokio::spawn(async move { near.lock().await.write_all(b" and the second").await });
        let mut read = [0; 64];
        let length = far.read(&mut read).await.unwrap();
        assert_eq!(&read[..length], b"the first and the second");
        flushing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nothing_is_lost_or_reordered_around_large_writes() {
        let (near, mut far) = tokio::io::duplex(1000);
        let sent: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut near = Gather::new(near);
            let mut rest = &sent[..];
            for length in [1, 4095, 1, 4096, 4097, 9000, 3, 70_000].into_iter().cycle() {
                let (part, after) = rest.split_at(length.min(rest.len()));
                near.write_all(part).await.unwrap();
                if length % 2 == 0 {
                    near.flush().await.unwrap();
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            near.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        writing.await.unwrap();
        assert_eq!(read, expected);
    }
}
