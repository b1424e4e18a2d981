//! What a client sends to a process that it has attached to.

use a3s_box_agent::proto::agent::{CloseStdin, ExecInput, SignalRequest, exec_input::Kind};
use a3s_box_agent::proto::shim::JobSignal;
use a3s_box_agent::{AgentClient, CHUNK, ShimClient};
use a3s_box_core::{Signal, TtySize};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

/// How long a signal may take; its sender has other things to do.
const PATIENCE: Duration = Duration::from_secs(15);

/// The sending end towards a process. Every call but [`signal`](Self::signal) waits while the process is not reading;
/// calls after its end are without effect, since the end is reported where its output comes from.
#[derive(Debug, Clone)]
pub struct ProcessInput {
    inputs: mpsc::Sender<ExecInput>,
    signals: Signals,
}

/// The way of signals, which do not wait behind input that a process has not read.
#[derive(Debug, Clone)]
pub(super) enum Signals {
    /// To the container process.
    Main(ShimClient),
    /// To a job.
    Job(ShimClient, u32),
    /// To another process of the box, whose id is told once it runs.
    Process(AgentClient, watch::Receiver<Option<i32>>),
}

impl ProcessInput {
    /// The sender, and the stream that the call takes. `first` goes ahead of everything.
    pub(super) fn channel(
        first: Option<Kind>,
        signals: Signals,
    ) -> (Self, impl tokio_stream::Stream<Item = ExecInput> + Send) {
        // Two messages under way keep the pipe busy; more would only be memory.
        let (inputs, receiver) = mpsc::channel(2);
        let rest = ReceiverStream::new(receiver);
        let first = tokio_stream::iter(first.map(|kind| ExecInput { kind: Some(kind) }));
        (Self { inputs, signals }, futures_util::StreamExt::chain(first, rest))
    }

    /// Feeds standard input.
    pub async fn stdin(&self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK) {
            self.send(Kind::Stdin(chunk.to_vec().into())).await;
        }
    }

    /// Ends standard input.
    pub async fn close_stdin(&self) {
        self.send(Kind::CloseStdin(CloseStdin {})).await;
    }

    /// Tells the terminal its new size.
    pub async fn resize(&self, size: TtySize) {
        self.send(Kind::Resize(size.into())).await;
    }

    /// Sends a signal to the process, whether or not it has read its input.
    pub async fn signal(&self, signal: Signal) {
        let number = signal.number();
        let sent = async {
            match self.signals.clone() {
                Signals::Main(mut shim) => {
                    drop(shim.signal(SignalRequest { pid: 0, signal: number }).await);
                }
                Signals::Job(mut shim, job) => drop(shim.signal_job(JobSignal { job, signal: number }).await),
                Signals::Process(mut agent, mut started) => {
                    let Ok(pid) = started.wait_for(Option::is_some).await.map(|pid| *pid) else { return };
                    let pid = pid.unwrap_or_default();
                    drop(agent.signal(SignalRequest { pid, signal: number }).await);
                }
            }
        };
        drop(timeout(PATIENCE, sent).await);
    }

    async fn send(&self, kind: Kind) {
        drop(self.inputs.send(ExecInput { kind: Some(kind) }).await);
    }
}
