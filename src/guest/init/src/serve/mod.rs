//! The agent protocol, served to the host: one file for each call.

mod bind;
mod delivery;
mod exec;
mod files;
mod hello;
mod processes;
mod set_clock;
mod shutdown;
mod signal;
mod stats;

use crate::boot::{Binds, Times};
use crate::process::{Container, Forked, Process, Started};
use crate::reap::{Ended, Reaper};
use crate::stream::Stream;
use crate::{nsexec, port};
use a3s_box_agent::proto::agent::agent_server::{Agent, AgentServer};
use a3s_box_agent::proto::agent::{
    BindInput, ExecInput, HelloReply, HelloRequest, ProcessesReply, ProcessesRequest, SetClockReply,
    SetClockRequest, ShutdownReply, ShutdownRequest, SignalReply, SignalRequest, StatsReply, StatsRequest,
};
use a3s_box_agent::{MAX_MESSAGE, Window};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

/// The largest request. What Linux takes as arguments and environment is a quarter of the stack's limit, 2 MiB.
const MAX_REQUEST: usize = 4 << 20;
const _: () = assert!(MAX_REQUEST <= MAX_MESSAGE);

/// What all calls share.
pub(crate) struct Guest {
    pub(crate) container: Container,
    pub(crate) reaper: Reaper,
    /// What of the host's files the box has.
    binds: Binds,
    times: Times,
    process_us: AtomicU64,
    /// The container process, until somebody joins it.
    main: Mutex<Option<Process>>,
    main_started: watch::Receiver<Option<Started>>,
    main_ended: watch::Receiver<Option<Ended>>,
    /// Calls under way, and when the last one ended (`uptime_us`).
    calls: AtomicUsize,
    last_call: AtomicU64,
}

/// Serves the host for ever, where it comes. What is returned is why that is not possible.
pub(crate) async fn run(
    times: Times,
    inside: (Container, Binds),
    main: Forked,
    signals: OwnedFd,
    ways: port::Ways,
) -> io::Error {
    match begin(times, inside, main, signals) {
        Ok((guest, window)) => port::serve_host(ways, guest, window).await,
        Err(error) => error,
    }
}

fn begin(
    times: Times,
    inside: (Container, Binds),
    main: Forked,
    signals: OwnedFd,
) -> io::Result<(AgentServer<Service>, Window)> {
    let reaper = Reaper::default();
    let process = Process::watch(main, &reaper)?;
    tokio::spawn(reaper.clone().run(Stream::new(signals)?));
    let (container, binds) = inside;
    let window = if binds.is_empty() { Window::Usual } else { Window::Wide };
    let guest = Arc::new(Guest {
        container,
        reaper,
        binds,
        times,
        process_us: AtomicU64::new(0),
        main_started: process.started.clone(),
        main_ended: process.ended.clone(),
        main: Mutex::new(Some(process)),
        calls: AtomicUsize::new(0),
        last_call: AtomicU64::new(0),
    });
    tokio::spawn(hello::note_start(Arc::clone(&guest)));
    tokio::spawn(shutdown::when_forgotten(Arc::clone(&guest)));
    nsexec::serve(Arc::clone(&guest))?;
    Ok((AgentServer::new(Service(guest)).max_decoding_message_size(MAX_REQUEST), window))
}

impl Guest {
    /// A call is under way for as long as what this returns lives.
    fn call(self: &Arc<Self>) -> Call {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Call(Arc::clone(self))
    }

    /// The container process, for the one who joins it.
    fn take_main(&self) -> Option<Process> {
        self.main.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A call that is under way.
struct Call(Arc<Guest>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.last_call.store(crate::boot::uptime_us(), Ordering::Relaxed);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The calls.
#[derive(Clone)]
struct Service(Arc<Guest>);

#[tonic::async_trait]
impl Agent for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let _call = self.0.call();
        hello::hello(&self.0, request.get_ref()).map(Response::new)
    }

    type ExecStream = exec::Outputs;

    async fn exec(
        &self,
        request: Request<Streaming<ExecInput>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        exec::exec(self.0.call(), request.into_inner()).await.map(Response::new)
    }

    type FilesStream = exec::Outputs;

    async fn files(
        &self,
        request: Request<Streaming<ExecInput>>,
    ) -> Result<Response<Self::FilesStream>, Status> {
        files::files(self.0.call(), request.into_inner()).await.map(Response::new)
    }

    type BindStream = bind::Outputs;

    /// It is no call that anybody waits for, so it keeps no machine from being forgotten.
    async fn bind(
        &self,
        request: Request<Streaming<BindInput>>,
    ) -> Result<Response<Self::BindStream>, Status> {
        bind::bind(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn processes(&self, _: Request<ProcessesRequest>) -> Result<Response<ProcessesReply>, Status> {
        let _call = self.0.call();
        processes::processes().await.map(Response::new)
    }

    async fn stats(&self, _: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        let _call = self.0.call();
        stats::stats().map(Response::new)
    }

    async fn signal(&self, request: Request<SignalRequest>) -> Result<Response<SignalReply>, Status> {
        let _call = self.0.call();
        signal::signal(&self.0, request.get_ref()).map(|()| Response::new(SignalReply {}))
    }

    async fn set_clock(&self, request: Request<SetClockRequest>) -> Result<Response<SetClockReply>, Status> {
        let _call = self.0.call();
        set_clock::set_clock(request.get_ref()).map(Response::new)
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownReply>, Status> {
        let _call = self.0.call();
        Ok(Response::new(ShutdownReply { error: shutdown::shut_down(&self.0).await }))
    }
}
