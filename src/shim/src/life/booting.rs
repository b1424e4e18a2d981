//! From a VMM that was started to a container process that runs, or to the reason why not.

use super::Life;
use super::running::{end_of, how};
use crate::boot::{Guest, NotUp, boot};
use crate::end;
use crate::serve::Command;
use crate::status::now;
use crate::vmm::{Link, Machine};
use a3s_box_agent::proto::agent::ExecInput;
use a3s_box_core::{BootPhase, ExitReason, RunExit, Signal};
use std::cell::Cell;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

impl Life {
    /// Until the container process runs.
    pub(super) async fn boot(
        &mut self,
        vmm: &mut Machine,
        link: Link,
        input: mpsc::Receiver<ExecInput>,
    ) -> Result<Guest, RunExit> {
        let deadline = Instant::now() + Duration::from_millis(self.spec.boot_timeout_ms);
        let answered = Cell::new(None);
        let mut binds = self.binds.take();
        let result = {
            let mut booting = std::pin::pin!(boot(link.clone(), input, || {
                answered.set(Some(now()));
                // The container process may be in need of them before it runs.
                if let Some(binds) = &mut binds {
                    binds.serve(&link);
                }
            }));
            loop {
                tokio::select! {
                    up = &mut booting => match up {
                        Ok(guest) => break Ok(guest),
                        Err(NotUp::Failed(code, message)) => break Err(end::start_failed(code, message)),
                        Err(NotUp::Broken(why)) => {
                            tracing::warn!(why, "the guest did not come up");
                            let how = match end_of(vmm).await {
                                Some(how) => how,
                                None => {
                                    // One that goes on has no last words.
                                    vmm.kill().await;
                                    why
                                }
                            };
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
            }
        };
        self.binds = binds;
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
    pub(super) fn command_while_booting(&mut self, command: Command) -> Option<RunExit> {
        match command {
            Command::Attach(client) => {
                self.clients.join(client);
                None
            }
            Command::Stop(_, reason, done) => {
                self.waiting.push(done);
                Some(end::forced(reason))
            }
            Command::Signal(number, done) if number == Signal::KILL.number() => {
                drop(done.send(Ok(())));
                Some(end::forced(ExitReason::Killed))
            }
            Command::Signal(_, done) | Command::Pause(_, done) => {
                drop(done.send(Err(Status::failed_precondition("the box is still booting"))));
                None
            }
            Command::Update(policy, name, done) => {
                self.update(policy, name, done);
                None
            }
        }
    }
}
