//! A process's output: on to every attached client.

use a3s_box_agent::proto::shim::AttachEvent;
use a3s_box_agent::proto::shim::attach_event::Kind;
use futures_util::future::join_all;
use std::future::Future;
use tokio::sync::mpsc;
use tonic::Status;

/// A client's end: what it has not yet read is bounded, and a full one makes the container process wait.
pub(crate) type Client = mpsc::Sender<Result<AttachEvent, Status>>;

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
