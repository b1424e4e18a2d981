//! `shim.sock`: what clients may ask of a shim. Every wish becomes a [`Command`] to the run.

use crate::activity::Activity;
use crate::input::Input;
use crate::jobs::Jobs;
use crate::network::Figures;
use crate::output::Client;
use a3s_box_agent::proto::agent::{ExecInput, SignalReply, SignalRequest, Start, exec_input};
use a3s_box_agent::proto::shim::shim_server::{Shim, ShimServer};
use a3s_box_agent::proto::shim::{
    AttachEvent, End, EndReply, JobInput, JobReply, JobSignal, NetworkReply, NetworkRequest, PauseReply,
    PauseRequest, StopRequest, UpdateReply, UpdateRequest, job_input, job_reply,
};
use a3s_box_agent::{MAX_MESSAGE, Window, serve_until};
use a3s_box_core::{BoxName, ExitReason, RunPolicy};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Events that a client may leave unread before the container process has to wait.
const UNREAD: usize = 2;

/// What a client wants of the run.
pub(crate) enum Command {
    /// To hear what happens.
    Attach(Client),
    /// A signal for the container process.
    Signal(i32, oneshot::Sender<Result<(), Status>>),
    /// The end, by force after a grace period, and for what reason.
    Stop(Duration, ExitReason, oneshot::Sender<End>),
    /// That the guest stands still, or goes on.
    Pause(bool, oneshot::Sender<Result<(), Status>>),
    /// Another policy, and maybe another name.
    Update(RunPolicy, BoxName, oneshot::Sender<()>),
}

/// What clients are served with.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) input: Input,
    pub(crate) activity: Activity,
    pub(crate) jobs: Jobs,
    pub(crate) figures: Figures,
}

/// Serves clients until `quit` changes; then until the calls under way have their answers.
pub(crate) async fn clients(listener: UnixListener, service: Service, mut quit: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((connection, _)) = accepted else { return };
                let server = ShimServer::new(service.clone())
                    .max_decoding_message_size(MAX_MESSAGE)
                    .max_encoding_message_size(MAX_MESSAGE);
                let mut quit = quit.clone();
                connections.spawn(serve_until(connection, server, Window::Usual, async move { drop(quit.changed().await) }));
            }
            // What has ended is forgotten.
            Some(_) = connections.join_next() => {}
            _ = quit.changed() => break,
        }
    }
    drop(service);
    while connections.join_next().await.is_some() {}
}

impl Service {
    async fn command(&self, command: Command) -> Result<(), Status> {
        self.commands.send(command).await.map_err(|_| over())
    }
}

fn over() -> Status {
    Status::failed_precondition("the run is over")
}

#[tonic::async_trait]
impl Shim for Service {
    type AttachStream = ReceiverStream<Result<AttachEvent, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<ExecInput>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        self.activity.touch();
        let (client, events) = mpsc::channel(UNREAD);
        self.command(Command::Attach(client)).await?;
        let service = self.clone();
        tokio::spawn(async move {
            let mut inputs = request.into_inner();
            while let Ok(Some(input)) = inputs.message().await {
                service.feed(input).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<EndReply>, Status> {
        let (done, end) = oneshot::channel();
        let StopRequest { grace_ms, host_stops } = request.into_inner();
        let reason = if host_stops { ExitReason::HostStopped } else { ExitReason::Stopped };
        self.command(Command::Stop(Duration::from_millis(grace_ms), reason, done)).await?;
        let end = end.await.map_err(|_| over())?;
        Ok(Response::new(EndReply { end: Some(end) }))
    }

    async fn signal(&self, request: Request<SignalRequest>) -> Result<Response<SignalReply>, Status> {
        let number = request.into_inner().signal;
        if !(1..=64).contains(&number) {
            return Err(Status::invalid_argument("signals are numbered 1 to 64"));
        }
        let (done, answer) = oneshot::channel();
        self.command(Command::Signal(number, done)).await?;
        answer.await.map_err(|_| over())??;
        Ok(Response::new(SignalReply {}))
    }

    async fn pause(&self, request: Request<PauseRequest>) -> Result<Response<PauseReply>, Status> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Pause(request.into_inner().paused, done)).await?;
        answer.await.map_err(|_| over())??;
        Ok(Response::new(PauseReply {}))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateReply>, Status> {
        let UpdateRequest { restart, timeout, idle_timeout, name } = request.into_inner();
        let invalid = |e: a3s_box_core::BoxError| Status::invalid_argument(e.to_string());
        let seconds = |seconds: u32| (seconds > 0).then_some(seconds);
        let policy = RunPolicy {
            restart: restart.parse().map_err(invalid)?,
            timeout: seconds(timeout),
            idle_timeout: seconds(idle_timeout),
        };
        let name = name.parse().map_err(invalid)?;
        let (done, answer) = oneshot::channel();
        self.command(Command::Update(policy, name, done)).await?;
        answer.await.map_err(|_| over())?;
        Ok(Response::new(UpdateReply {}))
    }

    async fn start_job(&self, request: Request<Start>) -> Result<Response<JobReply>, Status> {
        let result = match self.jobs.start(request.into_inner()).await? {
            Ok(number) => job_reply::Result::Job(number),
            Err(failed) => job_reply::Result::Failed(failed),
        };
        Ok(Response::new(JobReply { result: Some(result) }))
    }

    type AttachJobStream = ReceiverStream<Result<AttachEvent, Status>>;

    async fn attach_job(
        &self,
        request: Request<Streaming<JobInput>>,
    ) -> Result<Response<Self::AttachJobStream>, Status> {
        let mut inputs = request.into_inner();
        let Some(job_input::Kind::Job(number)) = inputs.message().await?.and_then(|input| input.kind) else {
            return Err(Status::invalid_argument("the first input does not name a job"));
        };
        let (client, events) = mpsc::channel(UNREAD);
        let input = self.jobs.join(number, client).await?;
        tokio::spawn(async move {
            while let Ok(Some(JobInput { kind: Some(job_input::Kind::Input(next)) })) = inputs.message().await
            {
                if is_input(&next) && input.send(next).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn signal_job(&self, request: Request<JobSignal>) -> Result<Response<SignalReply>, Status> {
        let JobSignal { job, signal } = request.into_inner();
        self.jobs.signal(job, signal).await.map(|()| Response::new(SignalReply {}))
    }

    async fn network(&self, _: Request<NetworkRequest>) -> Result<Response<NetworkReply>, Status> {
        let counters = self.figures.read().map(Into::into);
        Ok(Response::new(NetworkReply { counters }))
    }
}

/// Whether this is for a process that runs already, and may have to wait until it reads.
fn is_input(input: &ExecInput) -> bool {
    matches!(
        input.kind,
        Some(exec_input::Kind::Stdin(_) | exec_input::Kind::CloseStdin(_) | exec_input::Kind::Resize(_))
    )
}

impl Service {
    /// Passes a client's input on. Signals take a way of their own: input may be stuck for good in a process
    /// that does not read.
    async fn feed(&self, input: ExecInput) {
        match input.kind {
            Some(exec_input::Kind::Signal(number)) => {
                let (done, answer) = oneshot::channel();
                if self.command(Command::Signal(number, done)).await.is_ok() {
                    drop(answer.await);
                }
            }
            _ if is_input(&input) => {
                self.activity.touch();
                self.input.send(input).await;
            }
            // What begins something is the guest's to serve, and the container process is joined already.
            _ => {}
        }
    }
}
