//! The guest's work on a box's files: archives that stream out of a box and into it.
//!
//! Archives are read and written by blocking code, on a thread of its own; a few chunks wait between it and the
//! connection.

use super::{Engine, rpc};
use crate::state::BoxRecord;
use a3s_box_agent::CHUNK;
use a3s_box_agent::proto::agent::files_request::Work;
use a3s_box_agent::proto::agent::{
    CloseStdin, ExecInput, ExecOutput, FilesRequest, exec_input, exec_output::Kind,
};
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_tar::CopyError;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::codegen::Bytes;

/// How long a guest may take to begin, and to go on while it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Chunks that wait on their way.
const QUEUE: usize = 8;
/// What a guest may say of a failure.
const MAX_SAID: usize = 4096;

/// What comes out of a box.
pub(super) struct Incoming {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

/// What goes into a box.
pub(super) struct Outgoing(mpsc::Sender<ExecInput>);

/// A piece of work that the guest has begun.
struct Errand {
    record: BoxRecord,
    what: &'static str,
    outputs: Streaming<ExecOutput>,
    said: Vec<u8>,
}

impl Engine {
    /// Has the guest of the live box `name` do `work`, and `take` read what it writes. Errors say that we cannot
    /// `what` the box.
    ///
    /// # Errors
    /// Those of [`Engine::live`](Self::live) and of `take`; what the guest says, by its own words.
    pub(super) async fn download<T: Send + 'static>(
        &self,
        name: &str,
        what: &'static str,
        work: Work,
        take: impl FnOnce(Incoming) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Its other end stays open: nothing is to be read there.
        let (_input, inputs) = mpsc::channel(1);
        let mut errand = self.errand(name, what, work, inputs).await?;
        let (sender, chunks) = mpsc::channel(QUEUE);
        let taken = on_thread(move || take(Incoming { chunks, chunk: Bytes::new() }));
        let done = loop {
            match errand.next(Some(PATIENCE)).await {
                Ok(Kind::Stdout(bytes)) => {
                    if sender.send(Ok(bytes)).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(Kind::Exited(exited)) => break errand.ended(exited.shell_code()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        if done.is_err() {
            // What has come so far must not look whole.
            drop(sender.send(Err(io::ErrorKind::ConnectionReset.into())).await);
        }
        drop(sender);
        let taken = taken.await.unwrap_or_else(|_| Err(panicked()));
        done.and(taken)
    }

    /// Has the guest of the live box `name` do `work` with what `give` writes.
    ///
    /// # Errors
    /// As [`Self::download`].
    pub(super) async fn upload(
        &self,
        name: &str,
        what: &'static str,
        work: Work,
        give: impl FnOnce(Outgoing) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (input, inputs) = mpsc::channel(QUEUE);
        let mut errand = self.errand(name, what, work, inputs).await?;
        let given = on_thread(move || {
            give(Outgoing(input.clone()))?;
            let end = ExecInput { kind: Some(exec_input::Kind::CloseStdin(CloseStdin {})) };
            drop(input.blocking_send(end));
            Ok(())
        });
        let mut given = std::pin::pin!(given);
        let mut result = None;
        let done = loop {
            // As long as there is more to give, the guest may have to wait for it.
            let patience = result.as_ref().map(|_| PATIENCE);
            tokio::select! {
                output = errand.next(patience) => match output {
                    Ok(Kind::Exited(exited)) => break errand.ended(exited.shell_code()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                },
                given = &mut given, if result.is_none() => {
                    result = Some(given.unwrap_or_else(|_| Err(panicked())));
                    if let Some(Err(_)) = result {
                        break Ok(());
                    }
                }
            }
        };
        drop(errand);
        match result {
            Some(Err(error)) => Err(error),
            // The guest did not wait for the rest, if there was any; what it said of it counts.
            _ => done,
        }
    }

    async fn errand(
        &self,
        name: &str,
        what: &'static str,
        work: Work,
        inputs: mpsc::Receiver<ExecInput>,
    ) -> Result<Errand> {
        let (record, mut agent) = self.agent(name).await?;
        let first = exec_input::Kind::Files(FilesRequest { work: Some(work) });
        let first = tokio_stream::iter([ExecInput { kind: Some(first) }]);
        let stream = futures_util::StreamExt::chain(first, ReceiverStream::new(inputs));
        let answer =
            tokio::time::timeout(PATIENCE, agent.files(stream)).await.map_err(|_| silent(&record))?;
        let outputs =
            answer.map_err(|status| rpc(format!("cannot {what} box {}", record.name), &status))?.into_inner();
        Ok(Errand { record, what, outputs, said: Vec::new() })
    }
}

impl Errand {
    /// What the guest does next; what it says on the side is kept.
    async fn next(&mut self, patience: Option<Duration>) -> Result<Kind> {
        loop {
            let message = self.outputs.message();
            let message = match patience {
                Some(patience) => {
                    tokio::time::timeout(patience, message).await.map_err(|_| silent(&self.record))?
                }
                None => message.await,
            };
            let what = || format!("cannot {} box {}", self.what, self.record.name);
            let output = message.map_err(|status| rpc(what(), &status))?.and_then(|output| output.kind);
            match output {
                None => {
                    return Err(BoxError::new(ErrorKind::Unavailable, what()).caused_by("the box ended"));
                }
                Some(Kind::Stderr(bytes)) => {
                    let room = MAX_SAID.saturating_sub(self.said.len());
                    self.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Some(Kind::Failed(failed)) => {
                    return Err(BoxError::new(ErrorKind::Unavailable, what()).caused_by(failed.message));
                }
                Some(kind) => return Ok(kind),
            }
        }
    }

    /// What an exit code comes to.
    fn ended(&self, code: i32) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // The guest's words may not steer the user's terminal.
        let said: String = String::from_utf8_lossy(&self.said).chars().filter(|c| !c.is_control()).collect();
        let why = if said.is_empty() { format!("its process ended with code {code}") } else { said };
        let what = format!("cannot {} box {}", self.what, self.record.name);
        Err(BoxError::new(ErrorKind::WrongState, what).caused_by(why))
    }
}

fn silent(record: &BoxRecord) -> BoxError {
    BoxError::new(ErrorKind::Timeout, format!("the guest of box {} does not answer", record.name))
        .with_hint(format!("see its console log, or end it with `a3s-box kill {}`", record.name))
}

fn panicked() -> BoxError {
    BoxError::new(ErrorKind::Internal, "the copy broke off")
}

/// What `work` comes to, on a thread of its own.
fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (tell, hear) = oneshot::channel();
    std::thread::spawn(move || drop(tell.send(work())));
    hear
}

impl BufRead for Incoming {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = chunk?,
                None => break,
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        drop(self.chunk.split_to(count));
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK);
        let chunk = exec_input::Kind::Stdin(Bytes::copy_from_slice(&bytes[..count]));
        let sent = self.0.blocking_send(ExecInput { kind: Some(chunk) });
        sent.map(|()| count).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A failed copy as a user sees it: `what` says of which.
pub(super) fn copy_error(what: String, error: CopyError) -> BoxError {
    let kind = match &error {
        CopyError::File { source, .. } | CopyError::Broken(source) => source.kind().into(),
        CopyError::Refused { .. } => ErrorKind::InvalidInput,
        CopyError::Archive(_) => ErrorKind::Corrupt,
    };
    BoxError::new(kind, what).caused_by(error)
}
