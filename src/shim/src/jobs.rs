//! Jobs: processes in the box that outlive the clients that started them. Their output goes into logs of bounded size,
//! and on to whoever has joined.

use crate::activity::Activity;
use crate::log::Log;
use crate::output::{Client, Clients};
use crate::status::now;
use a3s_box_agent::AgentClient;
use a3s_box_agent::proto::agent::{
    ExecInput, ExecOutput, Failed, SignalRequest, Start, exec_input, exec_output,
};
use a3s_box_agent::proto::shim::{AttachEvent, End, Running, attach_event};
use a3s_box_core::{ExitReason, JOB_LOG, JobExit, JobRecord, LogStream};
use a3s_box_files::Scratch;
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Jobs that run at once.
const MAX_RUNNING: usize = 64;
/// Jobs whose end is remembered.
const MAX_ENDED: usize = 100;
/// A job's file longer than this is none.
const MAX_RECORD: u64 = 8 << 20;
/// How long a guest may take to begin a process.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long jobs may take to be written down when the box has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The jobs of a run.
#[derive(Clone)]
pub(crate) struct Jobs {
    inner: Arc<Mutex<Inner>>,
    activity: Activity,
}

#[derive(Default)]
struct Inner {
    /// The guest init, while the box runs.
    agent: Option<AgentClient>,
    running: HashMap<u32, Job>,
    tasks: JoinSet<()>,
    last: u32,
}

/// A job that runs.
#[derive(Clone)]
struct Job {
    pid: i32,
    input: mpsc::Sender<ExecInput>,
    joining: mpsc::Sender<Client>,
}

impl Jobs {
    /// Takes stock of the jobs of earlier runs: those that were cut short have ended.
    ///
    /// # Errors
    /// Those of the box's folder.
    pub(crate) fn open(activity: Activity) -> io::Result<Self> {
        let mut inner = Inner::default();
        for number in numbers()? {
            inner.last = inner.last.max(number);
            if let Some(mut record) = read(number)
                && record.exit.is_none()
            {
                record.lost(now());
                write(&record);
            }
        }
        Ok(Self { inner: Arc::new(Mutex::new(inner)), activity })
    }

    /// From now on jobs may be started.
    pub(crate) fn begin(&self, agent: AgentClient) {
        self.lock().agent = Some(agent);
    }

    /// No further job is started, and the ends of those that run are written down: their box has ended.
    pub(crate) async fn end(&self) {
        let mut tasks = {
            let mut inner = self.lock();
            inner.agent = None;
            std::mem::take(&mut inner.tasks)
        };
        drop(timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await);
    }

    /// Starts a job; its number, or why its program cannot be started.
    pub(crate) async fn start(&self, start: Start) -> Result<Result<u32, Failed>, Status> {
        let over = || Status::failed_precondition("the box does not run");
        let mut agent = {
            let inner = self.lock();
            if inner.running.len() >= MAX_RUNNING {
                return Err(Status::resource_exhausted(format!("{MAX_RUNNING} jobs run already")));
            }
            inner.agent.clone().ok_or_else(over)?
        };
        let (args, tty, stdin) = (start.args.clone(), start.tty.is_some(), start.stdin);
        let (input, inputs) = mpsc::channel(2);
        let first = tokio_stream::iter([ExecInput { kind: Some(exec_input::Kind::Start(start)) }]);
        let stream = futures_util::StreamExt::chain(first, ReceiverStream::new(inputs));
        let late = |_| Status::deadline_exceeded("the guest does not answer");
        let mut outputs = timeout(PATIENCE, agent.exec(stream)).await.map_err(late)??.into_inner();
        let answer = timeout(PATIENCE, outputs.message()).await.map_err(late)??;
        let pid = match answer.and_then(|output| output.kind) {
            Some(exec_output::Kind::Started(started)) => started.pid,
            Some(exec_output::Kind::Failed(failed)) => return Ok(Err(failed)),
            _ => return Err(Status::internal("the guest broke the protocol")),
        };
        forget_old();
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        let record = JobRecord { number, args, pid, tty, stdin, started_at: now(), exit: None };
        write(&record);
        let (joining, mut joiners) = mpsc::channel(4);
        inner.running.insert(number, Job { pid, input, joining });
        let jobs = self.clone();
        // For as long as a job runs, the box is of use.
        let visit = self.activity.visit();
        inner.tasks.spawn(async move {
            let mut record = record;
            let mut clients = Clients::default();
            let exit = follow(number, outputs, &mut joiners, &mut clients).await;
            record.exit = Some(exit.clone());
            write(&record);
            jobs.lock().running.remove(&number);
            drop(visit);
            // Whoever is just joining hears of the end, or that it was too late.
            joiners.close();
            while let Ok(client) = joiners.try_recv() {
                clients.join(client);
            }
            let end = End {
                code: exit.code,
                reason: reason(ExitReason::Exited),
                message: exit.message.unwrap_or_default(),
            };
            drop(timeout(LAST_WORDS, clients.tell(attach_event::Kind::Ended(end))).await);
        });
        while inner.tasks.try_join_next().is_some() {}
        Ok(Ok(number))
    }

    /// Has a client hear a job; where its input goes.
    pub(crate) async fn join(&self, number: u32, client: Client) -> Result<mpsc::Sender<ExecInput>, Status> {
        let job = self.running(number)?;
        let first = AttachEvent { kind: Some(attach_event::Kind::Running(Running {})) };
        // There is room: the client is new.
        drop(client.try_send(Ok(first)));
        job.joining.send(client).await.map_err(|_| ended(number))?;
        Ok(job.input)
    }

    /// Sends a signal to a job's process.
    pub(crate) async fn signal(&self, number: u32, signal: i32) -> Result<(), Status> {
        let job = self.running(number)?;
        let agent = self.lock().agent.clone();
        let mut agent = agent.ok_or_else(|| ended(number))?;
        let request = SignalRequest { pid: job.pid, signal };
        timeout(PATIENCE, agent.signal(request))
            .await
            .map_err(|_| Status::deadline_exceeded("the guest does not answer"))?
            .map(drop)
    }

    fn running(&self, number: u32) -> Result<Job, Status> {
        self.lock().running.get(&number).cloned().ok_or_else(|| ended(number))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended(number: u32) -> Status {
    Status::failed_precondition(format!("job {number} does not run"))
}

/// The word that a reason is on the wire.
fn reason(reason: ExitReason) -> String {
    serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Stays with a job until its end.
async fn follow(
    number: u32,
    mut outputs: Streaming<ExecOutput>,
    joiners: &mut mpsc::Receiver<Client>,
    clients: &mut Clients,
) -> JobExit {
    let mut log = Log::open(&JobRecord::stem(number), JOB_LOG)
        .inspect_err(|error| tracing::warn!(%error, number, "a job's log cannot be opened"))
        .ok();
    let mut delivery: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
    loop {
        tokio::select! {
            // The next chunk is taken only when every client has room for it.
            () = async { if let Some(delivery) = &mut delivery { delivery.await } }, if delivery.is_some() => {
                delivery = None;
            }
            Some(client) = joiners.recv() => clients.join(client),
            output = outputs.message(), if delivery.is_none() => {
                let (stream, bytes, kind): (_, _, fn(_) -> _) = match output.map(|o| o.and_then(|o| o.kind)) {
                    Ok(Some(exec_output::Kind::Stdout(bytes))) => {
                        (LogStream::Stdout, bytes, attach_event::Kind::Stdout)
                    }
                    Ok(Some(exec_output::Kind::Stderr(bytes))) => {
                        (LogStream::Stderr, bytes, attach_event::Kind::Stderr)
                    }
                    Ok(Some(exec_output::Kind::Exited(exited))) => {
                        return JobExit { code: exited.shell_code(), at: now(), message: None };
                    }
                    Ok(_) | Err(_) => {
                        return JobExit { code: 137, at: now(), message: Some("the box ended".to_owned()) };
                    }
                };
                if let Some(log) = &mut log {
                    log.write(stream, &bytes);
                }
                delivery = Some(Box::pin(clients.tell(kind(bytes))));
            }
        }
    }
}

/// The numbers of all jobs that have a file.
fn numbers() -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = std::fs::read_dir(".")?
        .flatten()
        .filter_map(|entry| JobRecord::number_of(entry.file_name().to_str()?))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn read(number: u32) -> Option<JobRecord> {
    let mut json = Vec::new();
    let file = std::fs::File::open(JobRecord::file(number)).ok()?;
    file.take(MAX_RECORD).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

fn write(record: &JobRecord) {
    let path = format!("./{}", JobRecord::file(record.number));
    let json = serde_json::to_vec(record).unwrap_or_default();
    if let Err(error) = Scratch::write_lazily(Path::new(&path), &json) {
        tracing::warn!(%error, path, "a job cannot be written down");
    }
}

/// Removes what is left of the oldest jobs, where there are too many.
fn forget_old() {
    let Ok(numbers) = numbers() else { return };
    let ended: Vec<u32> = numbers
        .into_iter()
        .filter(|number| read(*number).is_none_or(|record| record.exit.is_some()))
        .collect();
    let surplus = ended.len().saturating_sub(MAX_ENDED);
    for number in &ended[..surplus] {
        for name in JOB_LOG.files(&JobRecord::stem(*number)) {
            drop(std::fs::remove_file(name));
        }
        drop(std::fs::remove_file(JobRecord::file(*number)));
    }
}
