//! `agent.sock`: every connection becomes a stream to the guest init.

use a3s_box_agent::mux::{MAX_STREAMS, Opener};
use std::sync::Arc;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

const BUFFER: usize = 64 << 10;
/// Streams that the shim itself needs.
const OURS: usize = 2;

/// Accepts connections for as long as the session lasts. Those beyond what the session carries wait their turn.
pub(crate) async fn serve(listener: UnixListener, opener: Opener) {
    let room = Arc::new(Semaphore::new(MAX_STREAMS - OURS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((mut connection, _)) = listener.accept().await else { return };
        let opener = opener.clone();
        tokio::spawn(async move {
            if let Ok(mut stream) = opener.open().await {
                // Either end may go away at any time; the other then sees the end of its stream.
                drop(copy_bidirectional_with_sizes(&mut connection, &mut stream, BUFFER, BUFFER).await);
            }
            drop(place);
        });
    }
}
