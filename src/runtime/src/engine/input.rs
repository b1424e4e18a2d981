//! What a client sends to a process that it has attached to.

use a3s_box_agent::CHUNK;
use a3s_box_agent::proto::agent::{CloseStdin, ExecInput, exec_input::Kind};
use a3s_box_core::{Signal, TtySize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The sending end towards a process. Every call waits while the process is not reading; calls after its end
/// are without effect, since the end is reported where its output comes from.
#[derive(Debug, Clone)]
pub struct ProcessInput(mpsc::Sender<ExecInput>);

impl ProcessInput {
    /// The sender, and the stream that the call takes. `first` goes ahead of everything.
    pub(super) fn channel(first: Option<Kind>) -> (Self, impl tokio_stream::Stream<Item = ExecInput> + Send) {
        // Two messages under way keep the pipe busy; more would only be memory.
        let (sender, receiver) = mpsc::channel(2);
        let rest = ReceiverStream::new(receiver);
        let first = tokio_stream::iter(first.map(|kind| ExecInput { kind: Some(kind) }));
        (Self(sender), futures_util::StreamExt::chain(first, rest))
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

    /// Sends a signal to the process.
    pub async fn signal(&self, signal: Signal) {
        self.send(Kind::Signal(signal.number())).await;
    }

    async fn send(&self, kind: Kind) {
        drop(self.0.send(ExecInput { kind: Some(kind) }).await);
    }
}
