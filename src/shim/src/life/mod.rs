//! The life of a box from its start to its end: one run, or several where its restart policy starts it again. One
//! task owns it all, and everything else reaches it as an event.

mod booting;
mod running;

use crate::activity::Activity;
use crate::binds::{self, Binds};
use crate::end;
use crate::events::{self, Events};
use crate::input::Input;
use crate::jobs::Jobs;
use crate::log::Log;
use crate::network::{self, Figures};
use crate::output::Clients;
use crate::proxy;
use crate::serve::{self, Command, Service};
use crate::status::{StatusFile, now};
use crate::vmm::{self, Machine};
use a3s_box_agent::AgentClient;
use a3s_box_agent::proto::agent::{ExecInput, ShutdownRequest};
use a3s_box_agent::proto::shim::{End, Running, attach_event};
use a3s_box_core::{BackOff, BoxName, EventKind, ExitReason, RunExit, RunPolicy, ShimSpec, Signal};
use a3s_box_net::SecretValues;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

/// How long a guest init may take to answer a signal, before force is used.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a guest may take to write its disk back and power off.
const POWER_OFF: Duration = Duration::from_secs(10);
/// How long the first client may take to come.
const FIRST_CLIENT: Duration = Duration::from_secs(2);
/// How long clients may take to read the last events.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// Carries one box through, however it ends.
///
/// # Errors
/// Those of the box's own folder: a run whose end cannot be written down.
pub(crate) async fn live(
    spec: ShimSpec,
    secrets: SecretValues,
    shim: StdListener,
    agent: StdListener,
) -> io::Result<()> {
    let status = StatusFile::begin()?;
    let (commands_in, commands) = mpsc::channel(16);
    // What clients type waits here, and with them, until the guest is up.
    let (input, first_input) = Input::new();
    let activity = Activity::begin();
    let jobs = Jobs::open(activity.clone())?;
    let figures = Figures::default();
    let service = Service {
        commands: commands_in.clone(),
        input: input.clone(),
        activity: activity.clone(),
        jobs: jobs.clone(),
        figures: figures.clone(),
    };
    let (quit, quitting) = watch::channel(false);
    let serving = tokio::spawn(serve::clients(listener(shim)?, service, quitting));
    tokio::spawn(stop_on_sigterm(commands_in));
    let life = Life {
        events: Events::of(&spec),
        log: Log::open("log", spec.log)?,
        spec,
        secrets,
        status,
        jobs,
        figures,
        clients: Clients::default(),
        commands,
        activity,
        stillness: watch::Sender::default(),
        binds: None,
        waiting: Vec::new(),
        asked: None,
        signalled: false,
        force_at: None,
        first_started: None,
        run_started: None,
    };
    life.whole(&agent, first_input, &input).await?;
    let _ = quit.send(true);
    drop(timeout(LAST_EVENTS, serving).await);
    Ok(())
}

fn listener(socket: StdListener) -> io::Result<UnixListener> {
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

/// SIGTERM to the shim is what a host sends that shuts down.
async fn stop_on_sigterm(commands: mpsc::Sender<Command>) {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return;
    };
    while terminate.recv().await.is_some() {
        let (done, _) = oneshot::channel();
        drop(commands.send(Command::Stop(POWER_OFF, ExitReason::HostStopped, done)).await);
    }
}

/// Whether the guest stands still, and how often that has changed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stillness {
    pub(crate) still: bool,
    pub(crate) times: u64,
}

struct Life {
    spec: ShimSpec,
    /// The values of the box's secrets, for all its runs.
    secrets: SecretValues,
    status: StatusFile,
    log: Log,
    jobs: Jobs,
    figures: Figures,
    clients: Clients,
    commands: mpsc::Receiver<Command>,
    activity: Activity,
    events: Events,
    stillness: watch::Sender<Stillness>,
    /// The file server of this run, where the box has files of the host.
    binds: Option<Binds>,
    /// Who waits for the end.
    waiting: Vec<oneshot::Sender<End>>,
    /// Why the end was asked for, once it was.
    asked: Option<ExitReason>,
    /// Whether a user has sent the container process what usually ends one.
    signalled: bool,
    /// When patience with the container process ends.
    force_at: Option<Instant>,
    /// When the container process first ran.
    first_started: Option<Instant>,
    /// When that of this run began, where it did.
    run_started: Option<Instant>,
}

impl Life {
    /// Run after run, until one is the last.
    async fn whole(
        mut self,
        agent: &StdListener,
        first_input: mpsc::Receiver<ExecInput>,
        input: &Input,
    ) -> io::Result<()> {
        let mut back_off = BackOff::default();
        let mut exit = self.run_once(agent, first_input).await?;
        // A box that did not come up when it was asked to is the asker's to see to.
        while self.first_started.is_some() && self.spec.policy.restart.wants(&exit, self.status.restarts()) {
            let lasted = self.run_started.take().map_or(Duration::ZERO, |start| start.elapsed());
            let asked_for = self.rest(&exit, back_off.after(lasted)).await?;
            if let Some(reason) = asked_for {
                exit = RunExit { reason, message: None, at: now(), ..exit };
                break;
            }
            let restarts = self.status.again()?;
            self.events.note(EventKind::Restarted, &[("restarts", restarts.to_string())]).await;
            exit = self.run_once(agent, input.renew()).await?;
        }
        self.finish(exit).await
    }

    /// One run, from its begin to its end.
    async fn run_once(
        &mut self,
        agent: &StdListener,
        input: mpsc::Receiver<ExecInput>,
    ) -> io::Result<RunExit> {
        let exit = match self.events.tell(EventKind::Started, &[]).await {
            Err(message) => self.not_started(message).await,
            Ok(()) => {
                let (exit, network) = match network::start(&mut self.spec, &self.secrets) {
                    Err(message) => (self.not_started(message).await, None),
                    Ok((network, stream)) => {
                        self.figures.follow(network.as_ref());
                        (self.machine(stream, agent, input).await?, network)
                    }
                };
                network::stop(network);
                exit
            }
        };
        if exit.reason == ExitReason::Oom {
            self.events.note(EventKind::Oom, &[]).await;
        }
        self.events.note(EventKind::Died, &events::of_exit(&exit)).await;
        Ok(exit)
    }

    /// Starts the file server, and the VMM with its end of the network's `stream`, and sees them through.
    async fn machine(
        &mut self,
        stream: Option<OwnedFd>,
        agent: &StdListener,
        input: mpsc::Receiver<ExecInput>,
    ) -> io::Result<RunExit> {
        match binds::start(&self.spec).await {
            Err(message) => return Ok(self.not_started(message).await),
            Ok(binds) => self.binds = binds,
        }
        let exit = match vmm::launch(&self.spec, stream).await {
            Err(message) => Ok(self.not_started(message).await),
            Ok(vmm) => self.through(vmm, listener(agent.try_clone()?)?, input).await,
        };
        if let Some(binds) = self.binds.take() {
            binds.stop().await;
        }
        exit
    }

    /// What fails at once may fail before whoever has started the box is here to be told.
    async fn not_started(&mut self, message: String) -> RunExit {
        let first = self.first_started.is_none();
        if first && let Ok(Some(command)) = timeout(FIRST_CLIENT, self.commands.recv()).await {
            drop(self.command_while_booting(command));
        }
        end::boot_failed(message)
    }

    /// From the VMM's start to its end.
    async fn through(
        &mut self,
        mut vmm: Machine,
        agent: UnixListener,
        input: mpsc::Receiver<ExecInput>,
    ) -> io::Result<RunExit> {
        self.status.vmm(vmm.pid)?;
        let link = vmm.link.clone();
        let proxy = tokio::spawn(proxy::serve(agent, link.clone(), self.activity.clone()));
        let exit = match self.boot(&mut vmm, link, input).await {
            Err(exit) => exit,
            Ok(mut guest) => {
                self.status.started(self.spec.health.is_some())?;
                let exit = match self.events.tell(EventKind::Ready, &[]).await {
                    Err(message) => end::boot_failed(message),
                    Ok(()) => {
                        let start = Instant::now();
                        self.first_started.get_or_insert(start);
                        self.run_started = Some(start);
                        self.activity.touch();
                        self.jobs.begin(guest.agent.clone());
                        self.clients.tell(attach_event::Kind::Running(Running {})).await;
                        self.run(&mut vmm, &mut guest).await
                    }
                };
                self.put_away(&mut vmm, &mut guest.agent, &exit).await;
                exit
            }
        };
        proxy.abort();
        vmm.kill().await;
        self.jobs.end().await;
        self.stillness.send_replace(Stillness::default());
        Ok(exit)
    }

    /// Ends the guest so that its disk is whole, where anybody wants the disk.
    async fn put_away(&mut self, vmm: &mut Machine, agent: &mut AgentClient, exit: &RunExit) {
        let told = self.clients.tell(attach_event::Kind::Exited(end::wire(exit)));
        let clean = !self.spec.discard && exit.reason != ExitReason::VmmCrashed;
        let down = async {
            if clean {
                let asked = timeout(POWER_OFF, agent.shutdown(ShutdownRequest {})).await;
                if let Ok(Ok(reply)) = asked {
                    tracing::warn!(error = reply.into_inner().error, "the guest could not put its disk away");
                } else if asked.is_ok() {
                    drop(timeout(POWER_OFF, vmm.wait()).await);
                }
            }
        };
        let ((), _) = tokio::join!(down, timeout(LAST_EVENTS, told));
    }

    /// Waits between two runs. Why there is to be no further one, where somebody wants none.
    async fn rest(&mut self, exit: &RunExit, pause: Duration) -> io::Result<Option<ExitReason>> {
        let at = now().saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX));
        self.status.rests(exit.clone(), at)?;
        // For those who came for the run that is over, it is.
        let wire = end::wire(exit);
        drop(timeout(LAST_EVENTS, self.clients.tell(attach_event::Kind::Ended(wire))).await);
        self.clients = Clients::default();
        (self.asked, self.signalled, self.force_at) = (None, false, None);
        let until = Instant::now() + pause;
        loop {
            let limit = self.overall_limit();
            let reason = tokio::select! {
                () = sleep_until(until) => return Ok(None),
                () = sleep_until(limit.unwrap_or(until)), if limit.is_some() => Some(ExitReason::Timeout),
                Some(command) = self.commands.recv() => self.command_while_resting(command),
            };
            let policy = self.spec.policy.restart;
            if reason.is_some() {
                return Ok(reason);
            }
            // It may have been told otherwise.
            if !policy.wants(exit, self.status.restarts()) {
                return Ok(Some(exit.reason));
            }
        }
    }

    /// A command between two runs. Why there is to be no further one, where it wants none.
    fn command_while_resting(&mut self, command: Command) -> Option<ExitReason> {
        let refused = || Err(Status::failed_precondition("the box is between two runs, and does not run"));
        match command {
            Command::Attach(client) => self.clients.join(client),
            Command::Stop(_, reason, done) => {
                self.waiting.push(done);
                return Some(reason);
            }
            Command::Signal(number, done) if self.ends(number) => {
                drop(done.send(Ok(())));
                return Some(ExitReason::Killed);
            }
            Command::Signal(_, done) => drop(done.send(refused())),
            Command::Pause(_, done) => drop(done.send(refused())),
            Command::Update(policy, name, done) => self.update(policy, name, done),
        }
        None
    }

    /// Whether a signal is one with which a user ends a box.
    fn ends(&self, number: i32) -> bool {
        number == Signal::KILL.number() || number == self.spec.stop_signal.number()
    }

    fn update(&mut self, policy: RunPolicy, name: BoxName, done: oneshot::Sender<()>) {
        self.spec.policy = policy;
        self.events.rename(name);
        let _ = done.send(());
    }

    /// When the box has had all its time, where it has only so much.
    fn overall_limit(&self) -> Option<Instant> {
        let seconds = self.spec.policy.timeout?;
        Some(self.first_started? + Duration::from_secs(seconds.into()))
    }

    /// Writes the end down and tells it.
    async fn finish(mut self, exit: RunExit) -> io::Result<()> {
        let wire = end::wire(&exit);
        self.status.ended(exit.clone())?;
        // Whoever waits for the end finds it written down, and its removal after it.
        let stopped = self.events.write(EventKind::Stopped, &events::of_exit(&exit));
        // Whoever came too late to be heard during the run still hears its end.
        while let Ok(command) = self.commands.try_recv() {
            let ended = || Err(Status::failed_precondition("the box has ended"));
            match command {
                Command::Attach(client) => self.clients.join(client),
                Command::Stop(_, _, done) => self.waiting.push(done),
                Command::Signal(_, done) | Command::Pause(_, done) => drop(done.send(ended())),
                Command::Update(_, _, done) => drop(done.send(())),
            }
        }
        drop(timeout(LAST_EVENTS, self.clients.tell(attach_event::Kind::Ended(wire.clone()))).await);
        for done in self.waiting {
            drop(done.send(wire.clone()));
        }
        // The last thing of all: it may take the user's programs a while.
        if let Err(error) = self.events.run_hooks(stopped).await {
            tracing::warn!(error, "a required hook failed, too late");
        }
        Ok(())
    }
}
