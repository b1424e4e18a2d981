//! A client's connection, passed on to the guest and back.
//!
//! libkrun has one thread for all streams, and it waits where a stream's reader does not read. So what the guest
//! says is always read here, whether the client wants it or not. It is bounded: the guest init sends no more than
//! the client's HTTP/2 windows allow, and a guest that sends more loses the stream.

use bytes::{Buf, BytesMut};
use std::io;
use tokio::net::UnixStream;

/// A client's window for one connection (1 MiB, as `a3s_box_agent` sets it), and room for what is not counted.
const MOST: usize = (1 << 20) + (256 << 10);
const CHUNK: usize = 64 << 10;

/// Passes bytes on until either end is gone. There is no closing of one direction: libkrun would close both.
pub(super) async fn carry(client: UnixStream, guest: UnixStream) {
    tokio::select! {
        // A client that is gone wants nothing more.
        () = pass(&client, &guest) => {}
        _ = keep(&guest, &client) => {}
    }
}

/// Passes on what the client says, as fast as the guest takes it, until the client is gone.
async fn pass(client: &UnixStream, guest: &UnixStream) {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    while let Ok(()) = client.readable().await {
        match client.try_read_buf(&mut buffer) {
            Ok(0) => return,
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => return,
            _ => {}
        }
        while !buffer.is_empty() {
            if guest.writable().await.and_then(|()| advance(guest, &mut buffer)).is_err() {
                // The guest hung up; what it said before is still to be passed on.
                return std::future::pending().await;
            }
        }
    }
}

/// Passes on what the guest says, and keeps what the client does not take yet. What is kept when the guest is
/// gone is still passed on.
async fn keep(guest: &UnixStream, client: &UnixStream) -> io::Result<()> {
    let mut kept = BytesMut::with_capacity(CHUNK);
    loop {
        tokio::select! {
            ready = guest.readable() => {
                ready?;
                kept.reserve(CHUNK);
                match guest.try_read_buf(&mut kept) {
                    Ok(0) => break,
                    Err(e) if e.kind() != io::ErrorKind::WouldBlock => break,
                    _ if kept.len() > MOST => return Err(io::ErrorKind::QuotaExceeded.into()),
                    _ => {}
                }
            }
            ready = client.writable(), if !kept.is_empty() => ready?,
        }
        advance(client, &mut kept)?;
        if kept.is_empty() && kept.capacity() > 4 * CHUNK {
            // What a stuck client once needed is given back.
            kept = BytesMut::with_capacity(CHUNK);
        }
    }
    while !kept.is_empty() {
        client.writable().await?;
        advance(client, &mut kept)?;
    }
    Ok(())
}

/// Writes what `to` takes now.
fn advance(to: &UnixStream, bytes: &mut BytesMut) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(written) => bytes.advance(written),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    fn carried() -> (UnixStream, UnixStream) {
        let (client, near) = UnixStream::pair().unwrap();
        let (guest, far) = UnixStream::pair().unwrap();
        tokio::spawn(carry(near, far));
        (client, guest)
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_nobody_up_and_loses_nothing() {
        let (mut client, mut guest) = carried();
        let said: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
        timeout(Duration::from_secs(10), guest.write_all(&said)).await.unwrap().unwrap();
        client.write_all(b"still heard").await.unwrap();
        let mut heard = [0; 11];
        guest.read_exact(&mut heard).await.unwrap();
        drop(guest);
        let mut all = Vec::new();
        timeout(Duration::from_secs(10), client.read_to_end(&mut all)).await.unwrap().unwrap();
        assert!(all == said);
    }

    #[tokio::test]
    async fn a_guest_that_says_too_much_loses_the_stream() {
        let (_client, mut guest) = carried();
        let endless = async { while guest.write_all(&[0; 4096]).await.is_ok() {} };
        timeout(Duration::from_secs(10), endless).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_goes_takes_the_stream_along() {
        let (client, mut guest) = carried();
        drop(client);
        let mut nothing = Vec::new();
        timeout(Duration::from_secs(10), guest.read_to_end(&mut nothing)).await.unwrap().unwrap();
        assert!(nothing.is_empty());
    }
}
