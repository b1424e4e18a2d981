//! `exec`: runs a further process in a live box, straight through its guest init.

use super::create::overlay_env;
use super::input::{ProcessInput, Signals};
use super::{Engine, rpc};
use crate::state::BoxRecord;
use a3s_box_agent::proto::agent::{ExecOutput, FailureKind, exec_input, exec_output::Kind};
use a3s_box_agent::{AgentClient, agent_client};
use a3s_box_core::{BoxError, ErrorKind, ExecRequest, Result, TtySize};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Streaming;

/// How long a guest may take to begin a process. It may just be booting.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a user asks `exec` for; the rest is as the container process has it.
#[derive(Debug, Clone, Default)]
pub struct ExecConfig {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value` pairs over those of the container process.
    pub env: Vec<String>,
    /// The working directory in place of the container process's.
    pub workdir: Option<String>,
    /// The user in place of the container process's.
    pub user: Option<String>,
    /// A terminal of this size.
    pub tty: Option<TtySize>,
    /// Whether standard input will be fed.
    pub stdin: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// The exit code as a shell would report it: 128+n for a death by signal n.
    pub code: i32,
}

/// What comes from a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// It runs, with this id inside the box.
    Started(i32),
    /// It wrote this to standard output, or to its terminal.
    Stdout(Vec<u8>),
    /// It wrote this to standard error.
    Stderr(Vec<u8>),
    /// It ended, and all it wrote has been told. Nothing comes after it.
    Exited(ExitStatus),
    /// It could not be started: the exit code (126 or 127), and why. Nothing comes after it.
    Failed(i32, String),
}

/// A client's connection to a process. Dropping it leaves the process running.
#[derive(Debug)]
pub struct ExecSession {
    input: ProcessInput,
    output: Streaming<ExecOutput>,
    started: watch::Sender<Option<i32>>,
}

impl ExecSession {
    /// The way to the process.
    pub fn input(&self) -> ProcessInput {
        self.input.clone()
    }

    /// What happens next.
    ///
    /// # Errors
    /// `Unavailable` when the box ended.
    pub async fn next(&mut self) -> Result<ExecEvent> {
        let lost = || BoxError::new(ErrorKind::Unavailable, "the box ended while a process ran in it");
        let output = self.output.message().await.map_err(|status| match status.code() {
            tonic::Code::Unknown | tonic::Code::Unavailable | tonic::Code::Cancelled => lost(),
            _ => rpc("the guest broke the process off".to_owned(), &status),
        })?;
        Ok(match output.and_then(|output| output.kind).ok_or_else(lost)? {
            Kind::Started(started) => {
                self.started.send_replace(Some(started.pid));
                ExecEvent::Started(started.pid)
            }
            Kind::Stdout(bytes) => ExecEvent::Stdout(bytes.into()),
            Kind::Stderr(bytes) => ExecEvent::Stderr(bytes.into()),
            Kind::Exited(exited) => ExecEvent::Exited(ExitStatus { code: exited.shell_code() }),
            Kind::Failed(failed) => {
                let code = if failed.kind() == FailureKind::NotFound { 127 } else { 126 };
                ExecEvent::Failed(code, failed.message)
            }
        })
    }
}

impl Engine {
    /// Runs a process in the live box that `name` means.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, `InvalidInput` for no program,
    /// `Timeout` where the guest does not answer. A program that cannot be started is an event, not an error.
    pub async fn exec(&self, name: &str, config: ExecConfig) -> Result<ExecSession> {
        let (record, mut agent) = self.agent(name).await?;
        let request = request(&record, config)?;
        let (started, pid) = watch::channel(None);
        let signals = Signals::Process(agent.clone(), pid);
        let (input, stream) = ProcessInput::channel(Some(exec_input::Kind::Start(request.into())), signals);
        let answer = tokio::time::timeout(PATIENCE, agent.exec(stream)).await.map_err(|_| {
            BoxError::new(ErrorKind::Timeout, format!("the guest of box {} does not answer", record.name))
                .with_hint(format!("see its console log, or end it with `a3s-box kill {}`", record.name))
        })?;
        let output = answer
            .map_err(|status| rpc(format!("cannot run a process in box {}", record.name), &status))?
            .into_inner();
        Ok(ExecSession { input, output, started })
    }

    /// The guest init of a live box.
    pub(super) async fn agent(&self, name: &str) -> Result<(BoxRecord, AgentClient)> {
        let record = self.running(name)?;
        let agent = agent_client(&self.home.folder(&record.id).agent_socket())
            .await
            .map_err(|e| BoxError::io(format!("cannot reach the guest of box {}", record.name), e))?;
        Ok((record, agent))
    }
}

/// What `config` asks for, over what the container process of `record` has.
pub(super) fn request(record: &BoxRecord, config: ExecConfig) -> Result<ExecRequest> {
    if config.args.is_empty() {
        return Err(BoxError::new(ErrorKind::InvalidInput, "no program to run")
            .with_hint("give one after the box's name"));
    }
    let process = &record.process;
    let mut env = process.env.clone();
    overlay_env(&mut env, &config.env);
    Ok(ExecRequest {
        args: config.args,
        env,
        cwd: config.workdir.unwrap_or_else(|| process.cwd.clone()),
        user: config.user.unwrap_or_else(|| process.user.clone()),
        tty: config.tty,
        stdin: config.stdin,
        no_new_privs: process.no_new_privs,
    })
}
