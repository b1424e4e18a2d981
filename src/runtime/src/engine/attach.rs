//! `attach`: a client joins the container process of a box through its shim.

use super::input::{ProcessInput, Signals};
use super::jobs::of;
use super::{Engine, rpc};
use crate::state::BoxRecord;
use a3s_box_agent::proto::shim::{AttachEvent, End, JobInput, attach_event::Kind, job_input};
use a3s_box_agent::{ShimClient, shim_client};
use a3s_box_core::{BoxError, ErrorKind, ExitReason, JobName, Result};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tonic::Streaming;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// The exit code as a shell would report it.
    pub code: i32,
    /// Why.
    pub reason: ExitReason,
    /// What failed, where something did; a further line may hold `hint: …`.
    pub message: Option<String>,
}

/// What an attached client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// The container process runs.
    Running,
    /// It wrote this to standard output, or to its terminal.
    Stdout(Vec<u8>),
    /// It wrote this to standard error.
    Stderr(Vec<u8>),
    /// It ended, and all it wrote has been told.
    Exited(RunEnd),
    /// The MicroVM is gone too. Nothing comes after it.
    Ended(RunEnd),
}

/// A client's connection to a container process.
#[derive(Debug)]
pub struct Attachment {
    input: ProcessInput,
    events: Streaming<AttachEvent>,
}

impl Attachment {
    /// The way to the process.
    pub fn input(&self) -> ProcessInput {
        self.input.clone()
    }

    /// What happens next.
    ///
    /// # Errors
    /// `Unavailable` when the shim died before the run ended.
    pub async fn next(&mut self) -> Result<RunEvent> {
        let lost = || {
            BoxError::new(ErrorKind::Unavailable, "the box's shim went away").with_hint(
            "it was killed, and the MicroVM with it; see `a3s-box ps -a` and shim.log in the box's folder",
        )
        };
        let event =
            self.events.message().await.map_err(|status| lost().caused_by(status.message().to_owned()))?;
        match event.and_then(|event| event.kind).ok_or_else(lost)? {
            Kind::Running(_) => Ok(RunEvent::Running),
            Kind::Stdout(bytes) => Ok(RunEvent::Stdout(bytes.into())),
            Kind::Stderr(bytes) => Ok(RunEvent::Stderr(bytes.into())),
            Kind::Exited(end) => Ok(RunEvent::Exited(end.into())),
            Kind::Ended(end) => Ok(RunEvent::Ended(end.into())),
        }
    }
}

impl From<End> for RunEnd {
    fn from(end: End) -> Self {
        let reason: StrDeserializer<'_, ValueError> = end.reason.as_str().into_deserializer();
        Self {
            code: end.code,
            // A shim of another version may know a reason that we do not.
            reason: ExitReason::deserialize(reason).unwrap_or(ExitReason::Exited),
            message: (!end.message.is_empty()).then_some(end.message),
        }
    }
}

impl Engine {
    /// Joins the container process of the live box that `name` means, which may still be booting.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run.
    pub async fn attach(&self, name: &str) -> Result<Attachment> {
        let record = self.running(name)?;
        self.join(record.id.as_str()).await
    }

    /// As [`Engine::attach`], to hear how the box fares, whatever it does now.
    pub(super) async fn join(&self, name: &str) -> Result<Attachment> {
        let (record, mut shim) = self.shim(name).await?;
        let (input, stream) = ProcessInput::channel(None, Signals::Main(shim.clone()));
        let events = shim
            .attach(stream)
            .await
            .map_err(|status| rpc(format!("cannot attach to box {}", record.name), &status))?
            .into_inner();
        Ok(Attachment { input, events })
    }

    /// Joins a job of a live box.
    ///
    /// # Errors
    /// `NotFound` for no such box or job, `WrongState` for one that does not run.
    pub async fn attach_job(&self, job: &JobName) -> Result<Attachment> {
        let (record, _) = self.running_job(job)?;
        let (_, mut shim) = self.shim(record.id.as_str()).await?;
        let (input, inputs) = ProcessInput::channel(None, Signals::Job(shim.clone(), job.number));
        let first = tokio_stream::iter([JobInput { kind: Some(job_input::Kind::Job(job.number)) }]);
        let inputs = inputs.map(|input| JobInput { kind: Some(job_input::Kind::Input(input)) });
        let events = shim
            .attach_job(first.chain(inputs))
            .await
            .map_err(|status| rpc(format!("cannot attach to {}", of(job)), &status))?
            .into_inner();
        Ok(Attachment { input, events })
    }

    /// The shim of a live box.
    pub(super) async fn shim(&self, name: &str) -> Result<(BoxRecord, ShimClient)> {
        let record = self.live(name)?;
        let shim = shim_client(&self.home.folder(&record.id).shim_socket())
            .await
            .map_err(|e| BoxError::io(format!("cannot reach the shim of box {}", record.name), e))?;
        Ok((record, shim))
    }
}
