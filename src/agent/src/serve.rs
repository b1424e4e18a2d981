//! The serving end: one HTTP/2 connection over any byte stream.

use crate::FRAME;
use crate::gather::Gather;
use futures_util::future::{Either, select};
use hyper::body::Incoming;
use hyper::http::{Request, Response};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::Service;

/// The most input of one call that waits to be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Window {
    /// What a call may have under way in either direction is memory that a call which nobody reads keeps for good: less
    /// than this costs throughput, more gains none.
    #[default]
    Usual,
    /// As much as the largest message of a bind mount, each of which would otherwise wait sixteen times for the other
    /// end to have taken a part.
    Wide,
}

impl Window {
    fn bytes(self) -> u32 {
        match self {
            Self::Usual => 64 << 10,
            Self::Wide => (1 << 20) + (64 << 10),
        }
    }

    /// The most output of one call that waits to be sent.
    fn send_buffer(self) -> usize {
        match self {
            Self::Usual => 64 << 10,
            Self::Wide => 1 << 20,
        }
    }
}

/// Serves `service` to the peer on `io` until the peer goes away. A peer that does not speak HTTP/2 is dropped.
pub async fn serve<T, S>(io: T, service: S, window: Window)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    serve_until(io, service, window, std::future::pending()).await;
}

/// As [`serve`], but once `quit` is ready only the calls under way are finished.
pub async fn serve_until<T, S>(io: T, service: S, window: Window, quit: impl Future<Output = ()>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window.bytes())
            .initial_connection_window_size(4 * window.bytes())
            .max_frame_size(FRAME)
            .max_send_buf_size(window.send_buffer())
            .max_concurrent_streams(256)
            .serve_connection(TokioIo::new(Gather::new(io)), TowerToHyperService::new(service))
    );
    // A peer may vanish at any time; what its calls left running is each service's own matter.
    if let Either::Right(_) = select(connection.as_mut(), pin!(quit)).await {
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }
}
