//! The container process's output: into the log, and on to every attached client.

use crate::status::now;
use a3s_box_agent::proto::shim::AttachEvent;
use a3s_box_agent::proto::shim::attach_event::Kind;
use a3s_box_core::{LogRecord, LogStream};
use futures_util::future::join_all;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use tokio::sync::mpsc;
use tonic::Status;

/// `log.jsonl` grows to this, then becomes `log.1.jsonl`.
const MAX_LOG: u64 = 16 << 20;

/// A client's end: what it has not yet read is bounded, and a full one makes the container process wait.
pub(crate) type Client = mpsc::Sender<Result<AttachEvent, Status>>;

/// `log.jsonl`. A log that cannot be written does not stop the box.
pub(crate) struct Log {
    file: Option<File>,
    written: u64,
}

impl Log {
    /// Goes on where the log of the last run ended.
    pub(crate) fn open() -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open("log.jsonl")?;
        let written = file.metadata()?.len();
        Ok(Self { file: Some(file), written })
    }

    /// Adds a record of `bytes`.
    pub(crate) fn write(&mut self, stream: LogStream, bytes: &[u8]) {
        let Ok(mut line) = serde_json::to_vec(&LogRecord::new(now(), stream, bytes)) else { return };
        line.push(b'\n');
        if let Err(error) = self.append(&line) {
            tracing::warn!(%error, "the log cannot be written");
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written > 0 && self.written + line.len() as u64 > MAX_LOG {
            std::fs::rename("log.jsonl", "log.1.jsonl")?;
            self.file = None;
        }
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().create(true).append(true).open("log.jsonl")?);
            self.written = 0;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line)?;
            self.written += line.len() as u64;
        }
        Ok(())
    }
}

/// The attached clients.
#[derive(Default)]
pub(crate) struct Clients(Vec<Client>);

impl Clients {
    /// Adds one.
    pub(crate) fn join(&mut self, client: Client) {
        self.0.push(client);
    }

    /// Sends `kind` to everyone; done when all have room for it. Clients that went away are forgotten.
    pub(crate) fn tell(&mut self, kind: Kind) -> impl Future<Output = ()> + use<> {
        self.0.retain(|client| !client.is_closed());
        let sends: Vec<_> = self
            .0
            .iter()
            .map(|client| {
                let (client, kind) = (client.clone(), kind.clone());
                async move { drop(client.send(Ok(AttachEvent { kind: Some(kind) })).await) }
            })
            .collect();
        async move { drop(join_all(sends).await) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_slow_client_is_waited_for_and_a_lost_one_is_not() {
        let mut clients = Clients::default();
        let (slow, mut reader) = mpsc::channel(1);
        let (lost, gone) = mpsc::channel(1);
        clients.join(slow);
        clients.join(lost);
        clients.tell(Kind::Stdout(vec![1].into())).await;
        drop(gone);
        let mut second = Box::pin(clients.tell(Kind::Stdout(vec![2].into())));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut second).await.is_err());
        assert!(reader.recv().await.is_some());
        tokio::time::timeout(Duration::from_secs(5), second).await.unwrap();
        assert_eq!(clients.0.len(), 1);
    }
}
