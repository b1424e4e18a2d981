//! A descriptor that is read and written without blocking: a pipe's end, a terminal, the agent's port.

use crate::sys;
use rustix::buffer::spare_capacity;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The descriptor, registered with the runtime.
pub(crate) struct Stream(AsyncFd<OwnedFd>);

impl Stream {
    /// Takes `fd` and makes it non-blocking.
    ///
    /// # Errors
    /// Those of ioctl(2) and epoll_ctl(2).
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(sys::register(fd)?))
    }

    /// Waits for bytes and appends them to `buffer`, at most what it has room for. None: the end.
    pub(crate) async fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(result) = guard.try_io(|fd| Ok(rustix::io::read(fd, spare_capacity(buffer))?)) {
                return result;
            }
        }
    }

    /// Waits until there may be something to read.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.0.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// As [`Stream::read`], of what is there now.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there.
    pub(crate) fn read_now(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut read = || io::Result::Ok(rustix::io::read(self.0.get_ref(), spare_capacity(buffer))?);
        // The runtime may not have heard yet of what is there, so it is not asked; but it has to know that
        // nothing is, or it would not wait.
        let result = read();
        match &result {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.0.try_io(tokio::io::Interest::READABLE, |_| read())
            }
            _ => result,
        }
    }

    /// Waits until some of `bytes` can be written, and says how many were.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.writable().await?;
            if let Ok(result) = guard.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                return result;
            }
        }
    }

    /// Waits until something can be read: of a listener, a connection accepted.
    pub(crate) async fn read_with<T>(
        &self,
        mut f: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(result) = guard.try_io(|fd| f(fd.as_fd())) {
                return result;
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let unfilled = buf.initialize_unfilled();
            if let Ok(result) = guard.try_io(|fd| Ok(rustix::io::read(fd, &mut *unfilled)?)) {
                buf.advance(result?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(result) = guard.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(result) = guard.try_io(|fd| Ok(rustix::io::writev(fd, parts)?)) {
                return Poll::Ready(result);
            }
        }
    }

    /// A frame's head and what it carries go in one system call: each is a packet of its own on vsock.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
