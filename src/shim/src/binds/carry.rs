//! FUSE messages between the guest init and the file server.

use crate::vmm::Link;
use a3s_box_agent::Channel;
use a3s_box_agent::proto::agent::{BindInput, BindOutput, bind_input, bind_output};
use a3s_box_fuse::whole;
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Answers that are on their way to the guest.
const AHEAD: usize = 2;
/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// Carries the messages of bind mount `index` until either end is gone; then the other hears of it.
pub(super) async fn carry(link: Link, index: u32, server: UnixStream) {
    if let Err(error) = both_ways(&link, index, server).await {
        tracing::warn!(%error, index, "a bind mount has ended");
    }
}

async fn both_ways(link: &Link, index: u32, server: UnixStream) -> io::Result<()> {
    let mut agent = Channel::wide_over(link.open().await?).await?.agent();
    let (to_guest, inputs) = mpsc::channel(AHEAD);
    // There is room: the channel is new.
    drop(to_guest.try_send(BindInput { kind: Some(bind_input::Kind::Bind(index)) }));
    let mut from_guest =
        agent.bind(ReceiverStream::new(inputs)).await.map_err(io::Error::other)?.into_inner();
    let Some(BindOutput { kind: Some(bind_output::Kind::Owner(owner)) }) =
        from_guest.message().await.map_err(io::Error::other)?
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (from_server, mut to_server) = server.into_split();
    to_server.write_all(&owner.uid.to_le_bytes()).await?;
    to_server.write_all(&owner.gid.to_le_bytes()).await?;
    tokio::select! {
        result = requests(&mut from_guest, &mut to_server) => result,
        result = answers(from_server, to_guest) => result,
    }
}

async fn requests(from: &mut Streaming<BindOutput>, to: &mut OwnedWriteHalf) -> io::Result<()> {
    while let Some(output) = from.message().await.map_err(io::Error::other)? {
        let Some(bind_output::Kind::Message(message)) = output.kind else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // The server goes by the length that a message says it has.
        if whole(&message) != Some(message.len()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        to.write_all(&message).await?;
    }
    Ok(())
}

async fn answers(mut from: OwnedReadHalf, to: mpsc::Sender<BindInput>) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    loop {
        while let Some(length) = whole(&buffer).filter(|length| *length <= buffer.len()) {
            let message = bind_input::Kind::Message(buffer.split_to(length).freeze());
            if to.send(BindInput { kind: Some(message) }).await.is_err() {
                return Ok(());
            }
        }
        let missing = whole(&buffer).map_or(0, |length| length - buffer.len());
        buffer.reserve(missing.max(CHUNK));
        if from.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file server has ended"));
        }
    }
}
