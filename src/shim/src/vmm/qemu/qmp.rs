//! QMP, as far as the shim needs it (QEMU docs, interop/qmp-spec and qemu-qmp-ref): commands, and the events that
//! tell of the agent's port and of a guest that is saved or restored.

use super::command_line::PORT_ID;
use crate::sys;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// QEMU's messages are a line each, and short.
const MAX_LINE: u64 = 64 << 10;
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug, Deserialize)]
struct Message {
    event: Option<String>,
    data: Option<Data>,
    #[serde(rename = "return")]
    done: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Data {
    id: Option<String>,
    open: Option<bool>,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

/// A connection to a QEMU that may be a guest's by now: nothing it says is trusted.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    /// Whether the guest has opened the agent's port.
    opened: bool,
    /// How the guest's being saved or restored ended.
    migrated: Option<bool>,
}

impl Qmp {
    /// Negotiates.
    ///
    /// # Errors
    /// Those of the stream; `InvalidData` for what is no QMP.
    pub(super) async fn connect(stream: UnixStream) -> io::Result<Self> {
        let mut qmp = Self { stream: BufReader::new(stream), opened: false, migrated: None };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Executes a command to its end, and gives its result.
    ///
    /// # Errors
    /// As [`Qmp::connect`], and `Other` with QEMU's reason where it refuses.
    pub(super) async fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        self.send(command, &arguments, None).await?;
        self.answer(command).await
    }

    /// Gives QEMU a descriptor that other commands call `name`.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub(super) async fn pass(&mut self, name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send("getfd", &json!({ "fdname": name }), Some(fd)).await?;
        self.answer("getfd").await.map(drop)
    }

    /// Waits until the guest has opened the agent's port.
    ///
    /// # Errors
    /// As [`Qmp::connect`].
    pub(super) async fn port_opened(&mut self) -> io::Result<()> {
        while !self.opened {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits until the guest is saved or restored, and could go on.
    ///
    /// # Errors
    /// As [`Qmp::connect`], and `Other` where that failed.
    pub(super) async fn migrated(&mut self) -> io::Result<()> {
        loop {
            match self.migrated.take() {
                Some(true) => break,
                Some(false) => return Err(io::Error::other("the migration failed")),
                None => drop(self.next().await?),
            }
        }
        // The event comes a moment before the end, and no event comes at the end.
        while self.execute("query-status", json!({})).await?["status"] == "finish-migrate" {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Reads what else QEMU says until it ends, so that it need not wait to say it.
    pub(super) async fn drain(mut self) {
        while self.next().await.is_ok() {}
    }

    async fn send(&self, command: &str, arguments: &Value, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let stream = self.stream.get_ref();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        // A command is far smaller than a socket's buffer, and QEMU answers one before the next is sent.
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let parts = [IoSlice::new(line.as_bytes())];
                Ok(sendmsg(stream, &parts, &mut ancillary, sys::NO_SIGNAL)?)
            })
            .await?;
        if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    async fn answer(&mut self, command: &str) -> io::Result<Value> {
        loop {
            let message = self.next().await?;
            if let Some(refusal) = message.error {
                return Err(io::Error::other(format!("{command}: {}", refusal.desc)));
            }
            if let Some(done) = message.done {
                return Ok(done);
            }
        }
    }

    async fn next(&mut self) -> io::Result<Message> {
        let mut line = Vec::new();
        let n = (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line.ends_with(b"\n") && n as u64 == MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
        }
        let message: Message = serde_json::from_slice(&line)?;
        self.note(&message);
        Ok(message)
    }

    fn note(&mut self, message: &Message) {
        let Some(data) = &message.data else { return };
        match message.event.as_deref() {
            Some("VSERPORT_CHANGE") if data.id.as_deref() == Some(PORT_ID) => {
                self.opened |= data.open == Some(true);
            }
            Some("MIGRATION") => match data.status.as_deref() {
                Some("completed") => self.migrated = Some(true),
                Some("failed" | "cancelled") => self.migrated = Some(false),
                _ => {}
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use tokio::io::AsyncWriteExt;

    async fn connected() -> (Qmp, BufReader<UnixStream>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = BufReader::new(theirs);
        theirs.write_all(b"{\"QMP\":{}}\n{\"return\":{}}\n").await.unwrap();
        let qmp = Qmp::connect(ours).await.unwrap();
        let mut line = String::new();
        theirs.read_line(&mut line).await.unwrap();
        assert!(line.contains("qmp_capabilities"), "{line}");
        (qmp, theirs)
    }

    #[tokio::test]
    async fn only_the_agents_port_counts() {
        let (mut qmp, _theirs) = connected().await;
        for (text, counts) in [
            (r#"{"event":"VSERPORT_CHANGE","data":{"id":"agent","open":false}}"#, false),
            (r#"{"event":"VSERPORT_CHANGE","data":{"id":"other","open":true}}"#, false),
            (r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}"#, false),
            (r#"{"timestamp":{},"event":"VSERPORT_CHANGE","data":{"id":"agent","open":true}}"#, true),
        ] {
            qmp.note(&serde_json::from_str(text).unwrap());
            assert_eq!(qmp.opened, counts, "{text}");
        }
    }

    #[tokio::test]
    async fn events_before_an_answer_are_not_lost_and_refusals_are_told() {
        let (mut qmp, mut theirs) = connected().await;
        theirs
            .write_all(b"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"completed\"}}\n{\"return\":{}}\n")
            .await
            .unwrap();
        qmp.pass("x", std::io::stdin().as_fd()).await.unwrap();
        theirs.write_all(b"{\"return\":{\"status\":\"finish-migrate\"}}\n").await.unwrap();
        theirs.write_all(b"{\"return\":{\"status\":\"postmigrate\"}}\n").await.unwrap();
        qmp.migrated().await.unwrap();
        theirs.write_all(b"{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\n").await.unwrap();
        assert_eq!(qmp.execute("cont", json!({})).await.unwrap_err().to_string(), "cont: no");
        theirs.write_all(b"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"failed\"}}\n").await.unwrap();
        assert!(qmp.migrated().await.is_err());
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection() {
        for nonsense in [&b"{\n"[..], &[b'x'; 100_000], b"[1]\n", b""] {
            let (mut qmp, mut theirs) = connected().await;
            let writing = async {
                drop(theirs.write_all(nonsense).await);
                drop(theirs);
            };
            let (read, ()) = tokio::join!(qmp.port_opened(), writing);
            assert!(read.is_err());
        }
    }
}
