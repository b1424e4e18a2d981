//! `Exec`: a stream between a client and a process that is started for it, or the container process.
//!
//! A pipe is read only when the client has room for what it holds, and the client is read only when the process
//! has taken what came before: so both ends wait for one another, and init holds no more than a chunk for each.
//! The process lives without its client: its output is then read and dropped, and its input is at its end.

use super::{Call, signal};
use crate::process::failure::Failure;
use crate::process::{Process, stdio, value};
use crate::stream::Stream;
use a3s_box_agent::CHUNK;
use a3s_box_agent::proto::agent::{ExecInput, ExecOutput, Exited, Started, exec_input, exec_output::Kind};
use a3s_box_core::{ExecRequest, TtySize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;
use tonic::{Status, Streaming};

/// What the client reads.
pub(super) type Outputs = ReceiverStream<Result<ExecOutput, Status>>;
type Sender = mpsc::Sender<Result<ExecOutput, Status>>;

/// What is read of a pipe at once: half a message, since it is in memory up to three times until it is sent.
const READ: usize = CHUNK / 2;
/// Output shorter than this is copied, so that a few bytes do not hold a whole chunk of memory.
const SMALL: usize = 4096;
/// What can be in a pipe or a terminal when its process has ended: the largest size that a pipe may be given.
const LEFT_BEHIND: usize = 1 << 20;
/// What a terminal takes for the end of its input.
const END_OF_TRANSMISSION: &[u8] = &[4];

/// Starts or joins what the first input says.
pub(super) async fn exec(call: Call, mut inputs: Streaming<ExecInput>) -> Result<Outputs, Status> {
    let guest = &call.0;
    let process = match inputs.message().await?.and_then(|input| input.kind) {
        Some(exec_input::Kind::JoinMain(_)) => guest
            .take_main()
            .ok_or_else(|| Status::failed_precondition("the container process has been joined already"))?,
        Some(exec_input::Kind::Start(start)) => {
            let request =
                ExecRequest::try_from(start).map_err(|e| Status::invalid_argument(e.to_string()))?;
            match guest.container.exec(&request).and_then(|forked| Process::watch(forked, &guest.reaper)) {
                Ok(process) => process,
                Err(e) => return Ok(refuse(Failure::setup(cannot_fork(&e)))),
            }
        }
        _ => return Err(Status::invalid_argument("the first input is neither `start` nor `join_main`")),
    };
    Ok(connect(call, process, inputs, Orphan::RunsOn))
}

/// What becomes of a process whose client has gone.
pub(super) enum Orphan {
    /// It goes on.
    RunsOn,
    /// It is killed.
    Dies,
}

/// Connects a client with a process that was just forked.
pub(super) fn connect(call: Call, process: Process, inputs: Streaming<ExecInput>, orphan: Orphan) -> Outputs {
    // One message waits to be sent while the next is read; more would only be memory.
    let (outputs, stream) = mpsc::channel(1);
    let pidfd = Arc::clone(&process.pidfd);
    let (done, mut over) = watch::channel(false);
    if let Orphan::Dies = orphan {
        let outputs = outputs.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = outputs.closed() => signal::forward(&pidfd, libc::SIGKILL),
                _ = over.changed() => {}
            }
        });
    }
    tokio::spawn(async move {
        attend(call, process, inputs, outputs).await;
        drop(done);
    });
    ReceiverStream::new(stream)
}

pub(super) fn cannot_fork(error: &io::Error) -> String {
    match error.raw_os_error() {
        // What the kernel says where the namespace's first process has ended.
        Some(libc::ENOMEM | libc::ESRCH) => {
            "cannot start a process: the box has just ended, or is out of memory".to_owned()
        }
        Some(libc::EAGAIN) => "cannot start a process: the box has too many".to_owned(),
        _ => format!("cannot start a process: {error}"),
    }
}

/// The answer of a process that was never forked.
pub(super) fn refuse(failure: Failure) -> Outputs {
    let (outputs, stream) = mpsc::channel(1);
    drop(outputs.try_send(Ok(ExecOutput { kind: Some(Kind::Failed(failure.into())) })));
    ReceiverStream::new(stream)
}

/// Stays with a process until it has ended and its output is told.
async fn attend(_call: Call, process: Process, inputs: Streaming<ExecInput>, outputs: Sender) {
    let Process { pidfd, stdio, mut started, mut ended } = process;
    match value(&mut started).await {
        Some(Ok(pid)) => tell(&outputs, Kind::Started(Started { pid })).await,
        Some(Err(failure)) => return tell(&outputs, Kind::Failed(failure.into())).await,
        None => return,
    }
    let terminal = matches!(stdio, stdio::Outer::Terminal(_));
    let (stdin, sources) = match stdio.open() {
        Ok(streams) => streams,
        Err(e) => {
            drop(outputs.send(Err(Status::internal(format!("cannot read from the process: {e}")))).await);
            return;
        }
    };
    let feeder = Feeder { inputs, stdin, terminal, process: pidfd, held: None, closing: false };
    let feeding = tokio::spawn(feeder.run());

    let (no_more, over) = watch::channel(false);
    let mut sources = sources.into_iter();
    let stdout = pump(sources.next(), &outputs, Kind::Stdout, over.clone());
    let stderr = pump(sources.next(), &outputs, Kind::Stderr, over);
    let ending = async {
        let ended = value(&mut ended).await;
        no_more.send_replace(true);
        ended
    };
    let ((), (), ended) = tokio::join!(stdout, stderr, ending);
    feeding.abort();
    match ended {
        Some(ended) => {
            tell(&outputs, Kind::Exited(Exited { code: ended.code, signal: ended.signal, oom: ended.oom }))
                .await
        }
        None => drop(outputs.send(Err(Status::internal("the process's end was missed"))).await),
    }
}

async fn tell(outputs: &Sender, kind: Kind) {
    // A client that has gone is not told.
    drop(outputs.send(Ok(ExecOutput { kind: Some(kind) })).await);
}

/// Carries what a process writes to its client until the stream ends, or the process has (`over`) and what it
/// left behind is told: others may hold the pipe open for ever.
async fn pump(
    source: Option<Arc<Stream>>,
    outputs: &Sender,
    kind: fn(Bytes) -> Kind,
    mut over: watch::Receiver<bool>,
) {
    let Some(source) = source else { return };
    let mut left = LEFT_BEHIND;
    while left > 0 {
        let ended = tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => true,
            ready = source.ready() => match ready {
                Ok(()) => false,
                Err(_) => return,
            },
        };
        // Room first: what is not read stays in the pipe, and a full pipe stops the process. But only where there
        // is something to read, or one stream would hold up the other.
        let room = outputs.reserve().await.ok();
        let mut chunk = Vec::with_capacity(READ);
        let read = source.read_now(&mut chunk);
        if ended {
            left = left.saturating_sub(chunk.len());
        }
        match (read, room) {
            (Err(e), _) if e.kind() == io::ErrorKind::WouldBlock && !ended => {}
            // The end; for a terminal, EIO.
            (Ok(0) | Err(_), _) => return,
            (Ok(_), None) => {}
            (Ok(n), Some(room)) => {
                let bytes = if n < SMALL { Bytes::copy_from_slice(&chunk) } else { chunk.into() };
                room.send(Ok(ExecOutput { kind: Some(kind(bytes)) }));
            }
        }
    }
}

/// Carries what a client sends to a process.
struct Feeder {
    inputs: Streaming<ExecInput>,
    stdin: Option<Arc<Stream>>,
    terminal: bool,
    process: Arc<OwnedFd>,
    /// A message that the process has not taken yet. The next one stays with the client.
    held: Option<Bytes>,
    closing: bool,
}

impl Feeder {
    /// Until the client has no more to say and the process has it all.
    async fn run(mut self) {
        let mut listening = true;
        while listening || self.held.is_some() {
            tokio::select! {
                input = self.inputs.message(), if listening && self.held.is_none() => match input {
                    Ok(Some(input)) => self.take(input),
                    // The client has gone, or will not send any more.
                    Ok(None) | Err(_) => {
                        listening = false;
                        self.closing |= !self.terminal;
                    }
                },
                written = write(self.stdin.as_deref(), self.held.as_ref()) => self.written(written),
            }
            if self.closing && self.held.is_none() {
                self.stdin = None;
            }
        }
    }

    fn take(&mut self, input: ExecInput) {
        match input.kind {
            Some(exec_input::Kind::Stdin(bytes))
                if self.stdin.is_some() && !self.closing && !bytes.is_empty() =>
            {
                self.held = Some(bytes);
            }
            Some(exec_input::Kind::CloseStdin(_)) if self.terminal => {
                self.held = Some(Bytes::from_static(END_OF_TRANSMISSION));
            }
            Some(exec_input::Kind::CloseStdin(_)) => self.closing = true,
            Some(exec_input::Kind::Resize(size)) if self.terminal => {
                if let (Ok(size), Some(terminal)) = (TtySize::try_from(size), &self.stdin) {
                    let _ = stdio::resize(terminal.as_fd(), size);
                }
            }
            Some(exec_input::Kind::Signal(number)) => signal::forward(&self.process, number),
            // What no honest client sends is passed over.
            _ => {}
        }
    }

    fn written(&mut self, written: io::Result<usize>) {
        match (written, &mut self.held) {
            (Ok(n), Some(held)) if n < held.len() => drop(held.split_to(n)),
            (Ok(_), _) => self.held = None,
            // The process has closed its input; the rest has nowhere to go.
            (Err(_), _) => {
                self.held = None;
                self.stdin = None;
            }
        }
    }
}

/// Writes some of `bytes`; waits for ever where there is nothing to write.
async fn write(stdin: Option<&Stream>, bytes: Option<&Bytes>) -> io::Result<usize> {
    match (stdin, bytes) {
        (Some(stdin), Some(bytes)) => stdin.write(bytes).await,
        _ => std::future::pending().await,
    }
}
