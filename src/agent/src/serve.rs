//! The serving end: one HTTP/2 connection over any byte stream.

use hyper::body::Incoming;
use hyper::http::{Request, Response};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::Service;

/// Serves `service` to the peer on `io` until the peer goes away. A peer that does not speak HTTP/2 is dropped.
pub async fn serve<T, S>(io: T, service: S)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .max_concurrent_streams(256)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    // A peer may vanish at any time; what its calls left running is each service's own matter.
    drop(connection.await);
}
