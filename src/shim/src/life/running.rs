//! While the container process runs: its output, what clients want, and what limits it.

use super::{ANSWER, Life};
use crate::boot::Guest;
use crate::health::{self, Checked};
use crate::serve::Command;
use crate::vmm::Machine;
use crate::{clock, end};
use a3s_box_agent::AgentClient;
use a3s_box_agent::proto::agent::{SignalRequest, exec_output};
use a3s_box_agent::proto::shim::{Running, attach_event};
use a3s_box_core::{BootPhase, EventKind, ExitReason, LogStream, RunExit, Signal};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

/// How long a box may take to end whose time is over.
const GRACE: Duration = Duration::from_secs(10);

type Delivery = Pin<Box<dyn Future<Output = ()>>>;
/// Where the answer to a client goes.
type Answer = oneshot::Sender<Result<(), Status>>;

impl Life {
    /// Until the container process has ended and all of its output is told.
    pub(super) async fn run(&mut self, vmm: &mut Machine, guest: &mut Guest) -> RunExit {
        let check = self.spec.health.clone();
        let mut checks = check.map(|check| {
            let still = self.stillness.subscribe();
            health::watch(guest.agent.clone(), check, &self.spec.boot.process, still)
        });
        let mut clock = std::pin::pin!(clock::follow(guest.agent.clone(), self.stillness.subscribe()));
        let mut delivery: Option<Delivery> = None;
        loop {
            let force_at = self.force_at;
            let limit = self.limit();
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
                        let by_itself = match exited.oom {
                            true => ExitReason::Oom,
                            false if self.signalled => ExitReason::Killed,
                            false => ExitReason::Exited,
                        };
                        return end::plain(exited.shell_code(), self.asked.unwrap_or(by_itself));
                    }
                    Ok(_) | Err(_) => {
                        let how = end_of(vmm).await.unwrap_or_else(|| "the guest hung up".to_owned());
                        return self.vmm_ended(vmm, &how).await;
                    }
                },
                status = vmm.wait() => return self.vmm_ended(vmm, &how(status)).await,
                Some(checked) = async { checks.as_mut()?.recv().await }, if checks.is_some() => self.checked(checked).await,
                () = &mut clock => {}
                Some(command) = self.commands.recv() => {
                    if let Some(exit) = self.command(command, vmm, &mut guest.agent).await {
                        return exit;
                    }
                }
                () = async { sleep_until(limit.unwrap_or_else(Instant::now)).await }, if limit.is_some() => {
                    self.limit_reached(vmm, &mut guest.agent).await;
                }
                () = async { sleep_until(force_at.unwrap_or_else(Instant::now)).await }, if force_at.is_some() => {
                    if let Some(exit) = self.force(&mut guest.agent).await {
                        return exit;
                    }
                }
            }
        }
    }

    async fn checked(&mut self, checked: Checked) {
        let Some(check) = &self.spec.health else { return };
        match self.status.checked(checked, check) {
            Ok(None) => {}
            Ok(Some(news)) => self.events.note(EventKind::Health, &[("health", news.to_string())]).await,
            Err(error) => tracing::warn!(%error, "a health check's result could not be written"),
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
        self.activity.touch();
        self.status.reach(BootPhase::Output);
        self.log.write(stream, bytes);
    }

    /// Does what a client wants; an end, where that is what it comes to.
    async fn command(&mut self, command: Command, vmm: &Machine, agent: &mut AgentClient) -> Option<RunExit> {
        match command {
            Command::Attach(client) => {
                let (events, first) = (client.clone(), attach_event::Kind::Running(Running {}));
                let first = a3s_box_agent::proto::shim::AttachEvent { kind: Some(first) };
                // There is room: the client is new.
                drop(events.try_send(Ok(first)));
                self.clients.join(client);
            }
            Command::Signal(number, done) => return self.signal(number, done, vmm, agent).await,
            Command::Stop(grace, reason, done) => {
                self.waiting.push(done);
                self.stop(reason, grace, vmm, agent).await;
            }
            Command::Pause(still, done) => {
                let paused = self.stand_still(still, vmm).await;
                drop(done.send(paused));
            }
            Command::Update(policy, name, done) => self.update(policy, name, done),
        }
        None
    }

    async fn signal(
        &mut self,
        number: i32,
        done: Answer,
        vmm: &Machine,
        agent: &mut AgentClient,
    ) -> Option<RunExit> {
        if self.ends(number) {
            self.go_on(vmm).await;
        } else if self.stillness.borrow().still {
            drop(done.send(Err(Status::failed_precondition("it is paused; unpause it first"))));
            return None;
        }
        let sent = signal(agent, number).await;
        let name = Signal::try_from(number).map(|signal| signal.to_string()).unwrap_or_default();
        self.events.note(EventKind::Killed, &[("signal", name)]).await;
        if number == Signal::KILL.number() {
            self.asked = Some(ExitReason::Killed);
            self.force_at = Some(Instant::now() + ANSWER);
            drop(done.send(Ok(())));
            return sent.is_err().then(|| end::forced(ExitReason::Killed));
        }
        if sent.is_ok() && self.ends(number) {
            self.signalled = true;
        }
        drop(done.send(sent));
        None
    }

    /// Asks the container process to end, and waits no longer than `grace` for it.
    async fn stop(&mut self, reason: ExitReason, grace: Duration, vmm: &Machine, agent: &mut AgentClient) {
        self.go_on(vmm).await;
        let at = Instant::now() + grace;
        self.force_at = Some(self.force_at.map_or(at, |earlier| earlier.min(at)));
        if self.asked.replace(reason).is_none() && !grace.is_zero() {
            drop(signal(agent, self.spec.stop_signal.number()).await);
        }
    }

    /// Makes the guest stand still, or go on.
    async fn stand_still(&mut self, still: bool, vmm: &Machine) -> Result<(), Status> {
        let now = self.stillness.borrow().still;
        if now == still {
            let what = if still { "it is paused already" } else { "it is not paused" };
            return Err(Status::failed_precondition(what));
        }
        if still && self.asked.is_some() {
            return Err(Status::failed_precondition("it is being stopped"));
        }
        vmm.stand_still(still).map_err(|e| Status::internal(e.to_string()))?;
        self.stillness.send_modify(|s| (s.still, s.times) = (still, s.times + 1));
        if let Err(error) = self.status.paused(still) {
            tracing::warn!(%error, "the status could not be written");
        }
        self.events.note(if still { EventKind::Paused } else { EventKind::Unpaused }, &[]).await;
        Ok(())
    }

    /// A guest that stands still could not end.
    async fn go_on(&mut self, vmm: &Machine) {
        if self.stillness.borrow().still
            && let Err(status) = self.stand_still(false, vmm).await
        {
            tracing::warn!(%status, "the guest cannot go on");
        }
    }

    /// When the box has to end, as far as is known now.
    fn limit(&self) -> Option<Instant> {
        if self.asked.is_some() {
            return None;
        }
        let overall = self.overall_limit();
        let idle = self.idle_limit();
        overall.into_iter().chain(idle).min()
    }

    fn idle_limit(&self) -> Option<Instant> {
        let seconds = self.spec.policy.idle_timeout?;
        Some(self.activity.last() + Duration::from_secs(seconds.into()))
    }

    /// Ends the box, unless somebody has used it since.
    async fn limit_reached(&mut self, vmm: &Machine, agent: &mut AgentClient) {
        let now = Instant::now();
        let past = |limit: Option<Instant>| limit.is_some_and(|at| at <= now);
        if past(self.overall_limit()) {
            self.stop(ExitReason::Timeout, GRACE, vmm, agent).await;
        } else if past(self.idle_limit()) {
            self.stop(ExitReason::IdleTimeout, GRACE, vmm, agent).await;
        }
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
}

/// Sends a signal to the container process, through a guest init that may not answer.
async fn signal(agent: &mut AgentClient, number: i32) -> Result<(), Status> {
    match timeout(ANSWER, agent.signal(SignalRequest { pid: 0, signal: number })).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Err(Status::deadline_exceeded("the guest does not answer")),
    }
}

/// How a VMM ended whose guest has hung up: usually it is about to, or has. None where it runs on.
pub(super) async fn end_of(vmm: &mut Machine) -> Option<String> {
    timeout(ANSWER, vmm.wait()).await.ok().map(how)
}

pub(super) fn how(status: io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|e| e.to_string(), |status| status.to_string())
}
