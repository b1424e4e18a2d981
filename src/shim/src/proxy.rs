//! `agent.sock`: every connection becomes a stream to the guest init.

use crate::activity::Activity;
use crate::vmm::Link;
use a3s_box_agent::mux::MAX_STREAMS;
use a3s_box_core::MAX_BINDS;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

/// Streams that the shim itself needs: one for each bind mount among them.
const OURS: usize = 2 + MAX_BINDS;

/// Accepts connections for as long as the guest lasts. Those beyond what the link carries wait their turn.
pub(crate) async fn serve(listener: UnixListener, link: Link, activity: Activity) {
    let room = Arc::new(Semaphore::new(MAX_STREAMS - OURS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((connection, _)) = listener.accept().await else { return };
        let (link, visit) = (link.clone(), activity.visit());
        tokio::spawn(async move {
            // Either end may go away at any time; the other then sees the end of its stream.
            drop(link.carry(connection).await);
            drop((place, visit));
        });
    }
}
