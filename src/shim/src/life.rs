//! The life of a run: launch, boot, run, put away. One task owns it all, and everything else reaches it as an
//! event.

use crate::boot::{Guest, NotUp, boot};
use crate::end;
use crate::health::{self, Checked};
use crate::jobs::Jobs;
use crate::log::Log;
use crate::network;
use crate::output::Clients;
use crate::proxy;
use crate::serve::{self, Command};
use crate::status::{StatusFile, now};
use crate::vmm::{self, Link, Machine};
use a3s_box_agent::AgentClient;
use a3s_box_agent::proto::agent::{ExecInput, ShutdownRequest, SignalRequest, exec_output};
use a3s_box_agent::proto::shim::{End, Running, attach_event};
use a3s_box_core::{BootPhase, ExitReason, LogStream, RunExit, ShimSpec, Signal};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::Pin;
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

/// Carries one run through, however it ends.
///
/// # Errors
/// Those of the box's own folder: a run whose end cannot be written down.
pub(crate) async fn live(spec: ShimSpec, shim: StdListener, agent: StdListener) -> io::Result<()> {
    let status = StatusFile::begin()?;
    let (commands_in, commands) = mpsc::channel(16);
    // What clients type waits here, and with them, until the guest is up.
    let (input_in, input) = mpsc::channel(2);
    let listener = listener(shim)?;
    let (quit, quitting) = watch::channel(false);
    let jobs = Jobs::open()?;
    let serving =
        tokio::spawn(serve::clients(listener, commands_in.clone(), input_in, jobs.clone(), quitting));
    tokio::spawn(stop_on_sigterm(commands_in));
    let log = Log::open("log", spec.log)?;
    let mut life = Life {
        spec,
        status,
        log,
        jobs,
        clients: Clients::default(),
        commands,
        waiting: Vec::new(),
        asked: None,
        force_at: None,
        running: false,
    };
    let (exit, network) = match network::start(&life.spec) {
        Err(message) => (life.not_started(message).await, None),
        Ok((network, stream)) => (life.machine(stream, agent, input).await?, network),
    };
    network::stop(network);
    life.finish(exit).await?;
    let _ = quit.send(true);
    drop(timeout(LAST_EVENTS, serving).await);
    Ok(())
}

fn listener(socket: StdListener) -> io::Result<UnixListener> {
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

/// SIGTERM to the shim is a request to stop its box.
async fn stop_on_sigterm(commands: mpsc::Sender<Command>) {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return;
    };
    while terminate.recv().await.is_some() {
        let (done, _) = oneshot::channel();
        drop(commands.send(Command::Stop(POWER_OFF, done)).await);
    }
}

struct Life {
    spec: ShimSpec,
    status: StatusFile,
    log: Log,
    jobs: Jobs,
    clients: Clients,
    commands: mpsc::Receiver<Command>,
    /// Who waits for the end.
    waiting: Vec<oneshot::Sender<End>>,
    /// Why the end was asked for, once it was.
    asked: Option<ExitReason>,
    /// When patience with the container process ends.
    force_at: Option<Instant>,
    /// Whether the container process runs.
    running: bool,
}

type Delivery = Pin<Box<dyn Future<Output = ()>>>;

impl Life {
    /// Starts the VMM with its end of the network's `stream`, and sees it through.
    async fn machine(
        &mut self,
        stream: Option<OwnedFd>,
        agent: StdListener,
        input: mpsc::Receiver<ExecInput>,
    ) -> io::Result<RunExit> {
        match vmm::launch(&self.spec, stream).await {
            Err(message) => Ok(self.not_started(message).await),
            Ok(vmm) => self.through(vmm, listener(agent)?, input).await,
        }
    }

    /// What fails at once may fail before whoever has started the box is here to be told.
    async fn not_started(&mut self, message: String) -> RunExit {
        if let Ok(Some(command)) = timeout(FIRST_CLIENT, self.commands.recv()).await {
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
        let proxy = tokio::spawn(proxy::serve(agent, link.clone()));
        let exit = match self.boot(&mut vmm, link, input).await {
            Err(exit) => exit,
            Ok(mut guest) => {
                self.status.started(self.spec.health.is_some())?;
                self.running = true;
                self.jobs.begin(guest.agent.clone());
                self.clients.tell(attach_event::Kind::Running(Running {})).await;
                let exit = self.run(&mut vmm, &mut guest).await;
                self.put_away(&mut vmm, &mut guest.agent, &exit).await;
                exit
            }
        };
        proxy.abort();
        vmm.kill().await;
        self.jobs.end().await;
        Ok(exit)
    }

    /// Until the container process runs.
    async fn boot(
        &mut self,
        vmm: &mut Machine,
        link: Link,
        input: mpsc::Receiver<ExecInput>,
    ) -> Result<Guest, RunExit> {
        let deadline = Instant::now() + Duration::from_millis(self.spec.boot_timeout_ms);
        let answered = Cell::new(None);
        let mut booting = std::pin::pin!(boot(link, input, || answered.set(Some(now()))));
        let result = loop {
            tokio::select! {
                up = &mut booting => match up {
                    Ok(guest) => break Ok(guest),
                    Err(NotUp::Failed(code, message)) => break Err(end::start_failed(code, message)),
                    Err(NotUp::Broken(why)) => {
                        tracing::warn!(why, "the guest did not come up");
                        let how = end_of(vmm).await.unwrap_or(why);
                        let words = vmm.last_words().await;
                        break Err(end::vmm_ended(false, &how, &words, &vmm.console));
                    }
                },
                status = vmm.wait() => {
                    let words = vmm.last_words().await;
                    break Err(end::vmm_ended(false, &how(status), &words, &vmm.console));
                }
                () = sleep_until(deadline) => {
                    self.note_boot(vmm, answered.get());
                    break Err(end::boot_timeout(self.status.stage(), self.spec.boot_timeout_ms, &vmm.console));
                }
                Some(command) = self.commands.recv() => if let Some(exit) = self.command_while_booting(command) {
                    break Err(exit);
                },
            }
        };
        self.note_boot(vmm, answered.get());
        result
    }

    /// Notes when the boot's milestones were passed, which others saw.
    fn note_boot(&mut self, vmm: &mut Machine, answered: Option<u64>) {
        let milestones = [
            (BootPhase::Restored, vmm.restored_at),
            (BootPhase::Kernel, vmm.console.first_at()),
            (BootPhase::Init, vmm.port_open.try_recv().ok()),
            (BootPhase::Agent, answered),
        ];
        for (phase, at) in milestones {
            if let Some(at) = at {
                self.status.reach_at(phase, at);
            }
        }
    }

    /// There is no process yet that could be asked to end, so a box that boots is ended at once.
    fn command_while_booting(&mut self, command: Command) -> Option<RunExit> {
        match command {
            Command::Attach(client) => {
                self.clients.join(client);
                None
            }
            Command::Stop(_, done) => {
                self.waiting.push(done);
                Some(end::forced(ExitReason::Stopped))
            }
            Command::Signal(number, done) if number == Signal::KILL.number() => {
                drop(done.send(Ok(())));
                Some(end::forced(ExitReason::Killed))
            }
            Command::Signal(_, done) => {
                drop(done.send(Err(Status::failed_precondition("the box is still booting"))));
                None
            }
        }
    }

    /// Until the container process has ended and all of its output is told.
    async fn run(&mut self, vmm: &mut Machine, guest: &mut Guest) -> RunExit {
        let check = self.spec.health.clone();
        let mut checks =
            check.map(|check| health::watch(guest.agent.clone(), check, &self.spec.boot.process));
        let mut delivery: Option<Delivery> = None;
        loop {
            let force_at = self.force_at;
            tokio::select! {
                // The next chunk is taken only when every client has room for it: so a slow one slows the
                // process, and commands are heard meanwhile.
                () = async { if let Some(delivery) = &mut delivery { delivery.await } }, if delivery.is_some() => {
                    delivery = None;
                }
                message = guest.output.message(), if delivery.is_none() => match message.map(|m| m.and_then(|o| o.kind)) {
                    Ok(Some(exec_output::Kind::Stdout(bytes))) => {
                        self.heard(LogStream::Stdout, &bytes);
                        delivery = Some(Box::pin(self.clients.tell(attach_event::Kind::Stdout(bytes))));
                    }
                    Ok(Some(exec_output::Kind::Stderr(bytes))) => {
                        self.heard(LogStream::Stderr, &bytes);
                        delivery = Some(Box::pin(self.clients.tell(attach_event::Kind::Stderr(bytes))));
                    }
                    Ok(Some(exec_output::Kind::Exited(exited))) => {
                        self.status.reach(BootPhase::Exit);
                        return end::plain(exited.shell_code(), self.asked.unwrap_or(ExitReason::Exited));
                    }
                    Ok(_) | Err(_) => {
                        let how = end_of(vmm).await.unwrap_or_else(|| "the guest hung up".to_owned());
                        return self.vmm_ended(vmm, &how).await;
                    }
                },
                status = vmm.wait() => return self.vmm_ended(vmm, &how(status)).await,
                Some(checked) = async { checks.as_mut()?.recv().await }, if checks.is_some() => self.checked(checked),
                Some(command) = self.commands.recv() => {
                    if let Some(exit) = self.command(command, &mut guest.agent).await {
                        return exit;
                    }
                }
                () = async { sleep_until(force_at.unwrap_or_else(Instant::now)).await }, if force_at.is_some() => {
                    if let Some(exit) = self.force(&mut guest.agent).await {
                        return exit;
                    }
                }
            }
        }
    }

    fn checked(&mut self, checked: Checked) {
        if let Some(check) = &self.spec.health
            && let Err(error) = self.status.checked(checked, check)
        {
            tracing::warn!(%error, "a health check's result could not be written");
        }
    }

    async fn vmm_ended(&self, vmm: &mut Machine, how: &str) -> RunExit {
        let words = vmm.last_words().await;
        match self.asked {
            // A guest that was killed may well take the agent down before it has told the exit code.
            Some(reason) => end::forced(reason),
            None => end::vmm_ended(true, how, &words, &vmm.console),
        }
    }

    fn heard(&mut self, stream: LogStream, bytes: &[u8]) {
        self.status.reach(BootPhase::Output);
        self.log.write(stream, bytes);
    }

    /// Does what a client wants; an end, where that is what it comes to.
    async fn command(&mut self, command: Command, agent: &mut AgentClient) -> Option<RunExit> {
        match command {
            Command::Attach(client) => {
                let (events, first) = (client.clone(), attach_event::Kind::Running(Running {}));
                let first = a3s_box_agent::proto::shim::AttachEvent { kind: Some(first) };
                // There is room: the client is new.
                drop(events.try_send(Ok(first)));
                self.clients.join(client);
            }
            Command::Signal(number, done) => {
                let kill = number == Signal::KILL.number();
                let sent = signal(agent, number).await;
                if kill {
                    self.asked = Some(ExitReason::Killed);
                    self.force_at = Some(Instant::now() + ANSWER);
                    drop(done.send(Ok(())));
                    return sent.is_err().then(|| end::forced(ExitReason::Killed));
                }
                drop(done.send(sent));
            }
            Command::Stop(grace, done) => {
                self.waiting.push(done);
                let at = Instant::now() + grace;
                self.force_at = Some(self.force_at.map_or(at, |earlier| earlier.min(at)));
                if self.asked.replace(ExitReason::Stopped).is_none() && !grace.is_zero() {
                    drop(signal(agent, self.spec.stop_signal.number()).await);
                }
            }
        }
        None
    }

    /// Patience is over: first the container process is killed, and when that does not help the VMM.
    async fn force(&mut self, agent: &mut AgentClient) -> Option<RunExit> {
        let reason = self.asked.unwrap_or(ExitReason::Stopped);
        if reason == ExitReason::Killed {
            return Some(end::forced(reason));
        }
        if signal(agent, Signal::KILL.number()).await.is_err() || self.spec.discard {
            return Some(end::forced(reason));
        }
        // Once more, and then without asking.
        self.spec.discard = true;
        self.force_at = Some(Instant::now() + ANSWER);
        None
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

    /// Writes the end down and tells it.
    async fn finish(mut self, exit: RunExit) -> io::Result<()> {
        let wire = end::wire(&exit);
        self.status.ended(exit)?;
        // Whoever came too late to be heard during the run still hears its end.
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Attach(client) => self.clients.join(client),
                Command::Stop(_, done) => self.waiting.push(done),
                Command::Signal(_, done) => {
                    drop(done.send(Err(Status::failed_precondition("the box has ended"))))
                }
            }
        }
        drop(timeout(LAST_EVENTS, self.clients.tell(attach_event::Kind::Ended(wire.clone()))).await);
        for done in self.waiting {
            drop(done.send(wire.clone()));
        }
        Ok(())
    }
}

/// Sends a signal to the container process, through a guest init that may not answer.
async fn signal(agent: &mut AgentClient, number: i32) -> Result<(), Status> {
    match timeout(ANSWER, agent.signal(SignalRequest { pid: 0, signal: number })).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Err(Status::deadline_exceeded("the guest does not answer")),
    }
}

/// How a VMM ended whose guest has hung up: usually it is about to, or has. None where it runs on.
async fn end_of(vmm: &mut Machine) -> Option<String> {
    timeout(ANSWER, vmm.wait()).await.ok().map(how)
}

fn how(status: io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|e| e.to_string(), |status| status.to_string())
}
