//! `Bind`: the requests of a bind mount on their way to the host, and its answers on their way back.
//!
//! What the kernel writes and reads here are whole messages, and neither reading nor writing them waits for anybody in
//! the box. Once the host is gone, the mount ends, and with it whatever waits for an answer.

use super::Guest;
use crate::boot::Bind;
use crate::stream::Stream;
use a3s_box_agent::proto::agent::{BindInput, BindOutput, BindOwner, bind_input, bind_output};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// The longest message: the kernel refuses to be read with less room.
const MAX_MESSAGE: usize = (1 << 20) + 4096;
/// Requests that the host has not taken yet.
const AHEAD: usize = 2;

/// What goes to the host.
pub(super) type Outputs = ReceiverStream<Result<BindOutput, Status>>;

/// Begins to carry the bind mount that the first input names.
pub(super) async fn bind(guest: &Arc<Guest>, mut inputs: Streaming<BindInput>) -> Result<Outputs, Status> {
    let Some(bind_input::Kind::Bind(index)) = inputs.message().await?.and_then(|input| input.kind) else {
        return Err(Status::invalid_argument("the first input does not name a bind mount"));
    };
    let binds = &guest.binds;
    let bind = usize::try_from(index).ok().and_then(|index| binds.take(index));
    let bind = bind.ok_or_else(|| Status::not_found(format!("there is no bind mount {index} to be had")))?;
    let stream = bind.requests().and_then(Stream::new).map_err(|e| Status::internal(e.to_string()))?;
    let (out, outputs) = mpsc::channel(AHEAD);
    let (uid, gid) = binds.owner;
    // There is room: the channel is new.
    drop(out.try_send(Ok(output(bind_output::Kind::Owner(BindOwner { uid, gid })))));
    let mut quit = binds.quit();
    tokio::spawn(async move {
        tokio::select! {
            _ = requests(&stream, out) => {}
            () = answers(inputs, &stream) => {}
            _ = quit.wait_for(|quit| *quit) => {}
        }
        Bind::end(bind);
    });
    Ok(ReceiverStream::new(outputs))
}

fn output(kind: bind_output::Kind) -> BindOutput {
    BindOutput { kind: Some(kind) }
}

/// Tells the host what the kernel asks, until the mount is gone or the host is.
async fn requests(stream: &Stream, out: mpsc::Sender<Result<BindOutput, Status>>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(MAX_MESSAGE);
    loop {
        buffer.clear();
        match stream.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // The request was taken back before it was read.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => continue,
            Err(e) => return Err(e),
        }
        let message = bind_output::Kind::Message(buffer.as_slice().to_vec().into());
        if out.send(Ok(output(message))).await.is_err() {
            return Ok(());
        }
    }
}

/// Tells the kernel what the host answers, until the host is gone.
async fn answers(mut inputs: Streaming<BindInput>, stream: &Stream) {
    while let Ok(Some(BindInput { kind: Some(bind_input::Kind::Message(answer)) })) = inputs.message().await {
        match stream.write(&answer).await {
            // Nobody waits for it any more; or it is none that the kernel understands, and what waits for it does so
            // until the mount ends.
            Ok(_) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT)) => {}
            Err(_) => return,
        }
    }
}
