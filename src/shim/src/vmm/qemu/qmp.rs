//! QMP, as far as the shim needs it (QEMU docs, interop/qmp-spec): the greeting, and when the guest opens the
//! agent's port.

use crate::status::now;
use serde::Deserialize;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// QEMU's messages are a line each, and short.
const MAX_LINE: u64 = 64 << 10;

#[derive(Deserialize)]
struct Message {
    event: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    id: Option<String>,
    open: Option<bool>,
}

/// Negotiates, then reads events until QEMU ends. `opened` is told when the guest has opened the port.
pub(crate) async fn watch(stream: UnixStream, opened: oneshot::Sender<u64>) {
    if let Err(error) = read(stream, opened).await {
        tracing::debug!(%error, "QMP ended");
    }
}

async fn read(stream: UnixStream, opened: oneshot::Sender<u64>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader);
    let mut opened = Some(opened);
    writer.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").await?;
    loop {
        let mut line = Vec::new();
        let n = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        if n == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") && n as u64 == MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
        }
        let message: Message = serde_json::from_slice(&line)?;
        if is_open(&message)
            && let Some(opened) = opened.take()
        {
            let _ = opened.send(now());
        }
    }
}

fn is_open(message: &Message) -> bool {
    let data = message.data.as_ref();
    message.event.as_deref() == Some("VSERPORT_CHANGE")
        && data.is_some_and(|d| d.open == Some(true) && d.id.as_deref() == Some(super::command_line::PORT_ID))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agents_port_counts() {
        let open = |text: &str| is_open(&serde_json::from_str(text).unwrap());
        assert!(open(r#"{"timestamp":{},"event":"VSERPORT_CHANGE","data":{"id":"agent","open":true}}"#));
        assert!(!open(r#"{"event":"VSERPORT_CHANGE","data":{"id":"agent","open":false}}"#));
        assert!(!open(r#"{"event":"VSERPORT_CHANGE","data":{"id":"other","open":true}}"#));
        assert!(!open(r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}"#));
        assert!(!open(r#"{"return":{}}"#));
    }

    #[tokio::test]
    async fn nonsense_ends_the_watch() {
        for nonsense in [&b"{\n"[..], &[b'x'; 100_000], b"[1]\n"] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (opened, _waiting) = oneshot::channel();
            let writing = async {
                drop(theirs.write_all(nonsense).await);
                drop(theirs);
            };
            let (read, ()) = tokio::join!(read(ours, opened), writing);
            assert!(read.is_err());
        }
    }
}
