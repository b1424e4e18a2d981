//! What clients type: it waits until the container process of the present run takes it.

use a3s_box_agent::proto::agent::ExecInput;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The way to the container process, which is another one in every run.
#[derive(Clone)]
pub(crate) struct Input(Arc<Mutex<mpsc::Sender<ExecInput>>>);

impl Input {
    /// The way, and its end for the first run.
    pub(crate) fn new() -> (Self, mpsc::Receiver<ExecInput>) {
        let (sender, receiver) = mpsc::channel(2);
        (Self(Arc::new(Mutex::new(sender))), receiver)
    }

    /// Its end for the next run. What was typed for the last one is gone with it.
    pub(crate) fn renew(&self) -> mpsc::Receiver<ExecInput> {
        let (sender, receiver) = mpsc::channel(2);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sender;
        receiver
    }

    /// Waits until there is room for `input`; without effect where its run is over.
    pub(crate) async fn send(&self, input: ExecInput) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(sender.send(input).await);
    }
}
