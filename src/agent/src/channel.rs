//! The calling end: one HTTP/2 connection over any byte stream.

use crate::FRAME;
use crate::gather::Gather;
use crate::proto::agent::agent_client::AgentClient as Agent;
use crate::proto::shim::shim_client::ShimClient as Shim;
use crate::{MAX_MESSAGE, socket};
use hyper::client::conn::http2;
use hyper::http::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::Service;

/// A client of the guest init.
pub type AgentClient = Agent<Channel>;
/// A client of a box's shim.
pub type ShimClient = Shim<Channel>;

/// Connects to the agent at the UNIX socket `path`.
///
/// # Errors
/// Those of connect(2); `InvalidData` where the other end does not speak HTTP/2.
pub async fn agent_client(path: &Path) -> io::Result<AgentClient> {
    let channel = Channel::over(socket::connect(path).await?).await?;
    Ok(channel.agent())
}

/// Connects to the shim at the UNIX socket `path`.
///
/// # Errors
/// As [`agent_client`].
pub async fn shim_client(path: &Path) -> io::Result<ShimClient> {
    let channel = Channel::over(socket::connect(path).await?).await?;
    let client = Shim::with_origin(channel, Channel::origin());
    Ok(client.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
}

/// One HTTP/2 connection, cheap to clone. It lives as long as a clone does.
#[derive(Debug, Clone)]
pub struct Channel(http2::SendRequest<Body>);

impl Channel {
    /// Opens a connection over `io` and drives it in a task of the current runtime.
    ///
    /// # Errors
    /// `InvalidData` where the HTTP/2 preface cannot be written.
    pub async fn over<T>(io: T) -> io::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::with_windows(io, 256 << 10, 1 << 20).await
    }

    /// As [`Channel::over`], for a bind mount: a whole message may be on its way at once.
    ///
    /// # Errors
    /// As [`Channel::over`].
    pub async fn wide_over<T>(io: T) -> io::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        const WINDOW: u32 = (1 << 20) + (64 << 10);
        Self::with_windows(io, WINDOW, 2 * WINDOW).await
    }

    async fn with_windows<T>(io: T, stream: u32, connection: u32) -> io::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(stream)
            .initial_connection_window_size(connection)
            .max_frame_size(FRAME)
            .handshake(TokioIo::new(Gather::new(io)))
            .await
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        // The connection's own failure reaches every caller through its request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    /// An agent client on this connection.
    pub fn agent(self) -> AgentClient {
        Agent::with_origin(self, Self::origin())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// HTTP/2 wants an authority; a byte stream has none, so any will do.
    fn origin() -> Uri {
        Uri::from_static("http://box")
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
