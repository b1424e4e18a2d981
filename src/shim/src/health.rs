//! Health checks: a command beside the container process, from time to time.

use crate::life::Stillness;
use crate::status::now;
use a3s_box_agent::AgentClient;
use a3s_box_agent::proto::agent::{ExecInput, ExecOutput, exec_input, exec_output};
use a3s_box_core::{ExecRequest, HealthCheck, KEPT_OUTPUT, Probe, Signal};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// How long a check that was killed may take to be gone.
const LAST_WORD: Duration = Duration::from_secs(2);

/// A check that has ended, and whether the box was still starting up when it began.
pub(crate) struct Checked {
    pub(crate) probe: Probe,
    pub(crate) starting_up: bool,
}

/// Checks as `check` says, with the container process's own user, folder and environment, for as long as somebody
/// wants to hear of it. A box that stands still is neither well nor ill.
pub(crate) fn watch(
    agent: AgentClient,
    check: HealthCheck,
    process: &ExecRequest,
    mut stillness: watch::Receiver<Stillness>,
) -> mpsc::Receiver<Checked> {
    let (tell, hear) = mpsc::channel(1);
    let request = ExecRequest { args: check.args.clone(), tty: None, stdin: false, ..process.clone() };
    tokio::spawn(async move {
        let begin = Instant::now();
        let mut well = false;
        loop {
            let starting_up = begin.elapsed() < check.start_period.0;
            let pause = if starting_up && !well { check.start_interval } else { check.interval };
            tokio::select! {
                () = sleep(pause.0) => {}
                () = tell.closed() => return,
            }
            if stillness.wait_for(|stillness| !stillness.still).await.is_err() {
                return;
            }
            let times = stillness.borrow().times;
            let starting_up = begin.elapsed() < check.start_period.0;
            let probe = probe(agent.clone(), request.clone(), &check).await;
            if probe.exit_code != 0 && stillness.borrow().times != times {
                continue;
            }
            well |= probe.exit_code == 0;
            if tell.send(Checked { probe, starting_up }).await.is_err() {
                return;
            }
        }
    });
    hear
}

async fn probe(mut agent: AgentClient, request: ExecRequest, check: &HealthCheck) -> Probe {
    let start = now();
    let late = format!("health check exceeded timeout ({})", check.timeout);
    let deadline = Instant::now() + check.timeout.0;
    let (input, inputs) = mpsc::channel(2);
    // There is room: the channel is new.
    let _ = input.try_send(ExecInput { kind: Some(exec_input::Kind::Start(request.into())) });
    let (exit_code, output) = match timeout_at(deadline, agent.exec(ReceiverStream::new(inputs))).await {
        Ok(Ok(answer)) => {
            let mut events = answer.into_inner();
            let mut output = Vec::new();
            match timeout_at(deadline, hear(&mut events, &mut output)).await {
                Ok(Ok(code)) => (code, String::from_utf8_lossy(&output).into_owned()),
                Ok(Err(why)) => (-1, why),
                Err(_) => {
                    // Without its client it would go on.
                    let kill = exec_input::Kind::Signal(Signal::KILL.number());
                    let _ = input.try_send(ExecInput { kind: Some(kill) });
                    drop(timeout(LAST_WORD, hear(&mut events, &mut Vec::new())).await);
                    (-1, late)
                }
            }
        }
        Ok(Err(status)) => (-1, status.message().to_owned()),
        Err(_) => (-1, late),
    };
    Probe { start, end: now(), exit_code, output }
}

/// Hears a check to its end: its exit code, or why it has none. The first of what it writes goes to `output`.
async fn hear(events: &mut Streaming<ExecOutput>, output: &mut Vec<u8>) -> Result<i32, String> {
    loop {
        let event = events.message().await.map_err(|status| status.message().to_owned())?;
        match event.and_then(|event| event.kind) {
            Some(exec_output::Kind::Stdout(bytes) | exec_output::Kind::Stderr(bytes)) => {
                let room = KEPT_OUTPUT.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Some(exec_output::Kind::Exited(exited)) => return Ok(exited.shell_code()),
            Some(exec_output::Kind::Failed(failure)) => return Err(failure.message),
            Some(exec_output::Kind::Started(_)) => {}
            None => return Err("the guest init hung up".to_owned()),
        }
    }
}
