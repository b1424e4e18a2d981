//! From a VMM that was started to a container process that runs.

use crate::vmm::Link;
use a3s_box_agent::proto::agent::{
    ExecInput, ExecOutput, FailureKind, HelloRequest, JoinMain, exec_input, exec_output,
};
use a3s_box_agent::{AgentClient, Channel, PROTOCOL_VERSION};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// A guest whose container process runs.
pub(crate) struct Guest {
    /// The guest init.
    pub(crate) agent: AgentClient,
    /// What the container process writes.
    pub(crate) output: Streaming<ExecOutput>,
}

/// Why there is none.
pub(crate) enum NotUp {
    /// The container process could not be started: exit code, and why.
    Failed(i32, String),
    /// The guest said something that it should not, or hung up. The VMM's end usually says more.
    Broken(String),
}

/// Waits for the guest init, and joins the container process that it has started. `answered` is told when the
/// guest init has answered the handshake.
pub(crate) async fn boot(
    link: Link,
    input: mpsc::Receiver<ExecInput>,
    answered: impl FnOnce(),
) -> Result<Guest, NotUp> {
    let broken = |what: &str, why: &dyn std::fmt::Display| NotUp::Broken(format!("{what}: {why}"));
    let stream = link.open().await.map_err(|e| broken("no stream to the guest init", &e))?;
    let channel = Channel::over(stream).await.map_err(|e| broken("no connection to the guest init", &e))?;
    let agent = channel.agent();

    // Both calls go out at once: the handshake costs no round trip of its own.
    let join = exec_input::Kind::JoinMain(JoinMain {});
    let first = tokio_stream::iter([ExecInput { kind: Some(join) }]);
    let (mut greeter, mut joiner) = (agent.clone(), agent.clone());
    let hello = greeter.hello(HelloRequest { version: PROTOCOL_VERSION });
    let exec = joiner.exec(first.chain(ReceiverStream::new(input)));
    let (hello, exec) = tokio::join!(hello, exec);
    let hello = hello.map_err(|e| broken("the guest init refused the handshake", &e.message()))?.into_inner();
    if hello.version != PROTOCOL_VERSION {
        let version = hello.version;
        return Err(broken("the guest init speaks another protocol version", &version));
    }
    answered();
    let mut output =
        exec.map_err(|e| broken("the guest init refused to be joined", &e.message()))?.into_inner();
    match output
        .message()
        .await
        .map_err(|e| broken("the guest init hung up", &e.message()))?
        .and_then(|o| o.kind)
    {
        Some(exec_output::Kind::Started(_)) => Ok(Guest { agent, output }),
        Some(exec_output::Kind::Failed(failed)) => {
            let code = if failed.kind() == FailureKind::NotFound { 127 } else { 126 };
            Err(NotUp::Failed(code, failed.message))
        }
        _ => Err(broken("the guest init", &"it broke the protocol")),
    }
}
