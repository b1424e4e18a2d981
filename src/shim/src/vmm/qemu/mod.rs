//! QEMU as a child process, driven over QMP.

mod command_line;
mod qmp;
mod template;

use super::{Link, Machine};
use crate::status::now;
use crate::{confine, sys};
use a3s_box_agent::mux::Opener;
use a3s_box_core::{Accel, BootSpec, ShimSpec, Wake};
use command_line::{AGENT_FD, NETWORK_FD, QMP_FD, template_fd};
use qmp::Qmp;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use template::{Making, Template};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a guest may take to be saved or restored; it is a matter of milliseconds.
const MIGRATION: Duration = Duration::from_secs(20);

/// Starts QEMU: from a template where there is one, else from the kernel, leaving a template behind.
///
/// # Errors
/// What keeps QEMU from being started, ready for a user to read.
pub(super) async fn launch(spec: &ShimSpec, network: Option<OwnedFd>) -> Result<Machine, String> {
    let program = find().ok_or_else(|| format!("{} is not installed", command_line::PROGRAM))?;
    let confined = confine::for_program(&program, spec)?;
    let qemu = Qemu { spec, program: &program, confined: &confined, network: network.as_ref() };
    let failed = |e: io::Error| format!("cannot run {}: {e}", program.display());
    let template = qemu.template();
    if let Some(template) = &template
        && let Some(saved) = template.open()
    {
        match qemu.restore(saved).await {
            Ok(machine) => return Ok(machine),
            Err(error) => {
                tracing::warn!(%error, "a template cannot be gone on from: booting");
                template.discard();
            }
        }
    }
    let making = template.and_then(|template| {
        template.begin().unwrap_or_else(|error| {
            tracing::warn!(%error, "no template can be made");
            None
        })
    });
    qemu.boot(making).map_err(failed)
}

/// The QEMU that `$A3S_BOX_QEMU` names, or the first in `PATH`.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("A3S_BOX_QEMU").map(PathBuf::from).or_else(|| {
        std::env::split_paths(&path).map(|dir| dir.join(command_line::PROGRAM)).find(|file| file.is_file())
    })
}

/// A QEMU that is to be started.
struct Qemu<'a> {
    spec: &'a ShimSpec,
    program: &'a Path,
    confined: &'a confine::Program,
    /// Its end of the network's stream.
    network: Option<&'a OwnedFd>,
}

/// A QEMU that was started.
struct Started {
    machine: Machine,
    qmp: UnixStream,
    /// To be told when the guest has opened the agent's port.
    opened: oneshot::Sender<u64>,
    /// To be told when the guest may be told what box it is.
    ready: oneshot::Sender<()>,
}

impl Qemu<'_> {
    /// The template for this box; none where the accelerator cannot save a guest.
    fn template(&self) -> Option<Template> {
        if self.spec.accel == Accel::Hvf {
            return None;
        }
        let arguments = command_line::shape(self.spec);
        Template::of(self.spec, self.program, &arguments)
            .inspect_err(|error| tracing::warn!(%error, "no template can be looked for"))
            .ok()
    }

    /// Boots a guest, and saves it on the way where a template is to be made.
    fn boot(&self, making: Option<Making>) -> io::Result<Machine> {
        let Started { machine, qmp, opened, ready } = self.spawn(None)?;
        tokio::spawn(async move {
            let told = async {
                let mut qmp = Qmp::connect(qmp).await?;
                qmp.port_opened().await?;
                let _ = opened.send(now());
                if let Some(making) = making {
                    save(&mut qmp, making).await?;
                }
                let _ = ready.send(());
                io::Result::Ok(qmp)
            };
            match told.await {
                Ok(qmp) => qmp.drain().await,
                Err(error) => tracing::debug!(%error, "QMP ended"),
            }
        });
        Ok(machine)
    }

    /// Goes on from the guest in `saved`.
    async fn restore(&self, saved: File) -> io::Result<Machine> {
        let Started { mut machine, qmp, ready, .. } = self.spawn(Some(saved.into()))?;
        let restoring = async {
            let mut qmp = Qmp::connect(qmp).await?;
            tell_of_migration(&mut qmp).await?;
            qmp.execute("migrate-incoming", json!({ "uri": format!("fd:{}", template_fd(self.spec)) }))
                .await?;
            qmp.migrated().await?;
            // It was saved while it stood still.
            qmp.execute("cont", json!({})).await?;
            io::Result::Ok(qmp)
        };
        let restored = timeout(MIGRATION, restoring).await.unwrap_or_else(|late| Err(late.into()));
        match restored {
            Ok(qmp) => {
                machine.restored_at = Some(now());
                let _ = ready.send(());
                tokio::spawn(qmp.drain());
                Ok(machine)
            }
            Err(error) => {
                machine.kill().await;
                Err(io::Error::other(format!("{error}; {}", machine.last_words().await)))
            }
        }
    }

    fn spawn(&self, template: Option<OwnedFd>) -> io::Result<Started> {
        let (agent, agent_guest) = StdUnixStream::pair()?;
        let (qmp, qmp_guest) = StdUnixStream::pair()?;
        let mut command = self.confined.command(self.program);
        command.args(command_line::arguments(self.spec));
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        debug_assert_eq!((AGENT_FD, QMP_FD, NETWORK_FD), (3, 4, 5));
        let (agent_guest, qmp_guest) = (agent_guest.into(), qmp_guest.into());
        let mut fds = vec![&agent_guest, &qmp_guest];
        fds.extend(self.network);
        if let Some(template) = &template {
            command.args(["-incoming", "defer"]);
            fds.push(template);
        }
        let inherited = sys::confine(&mut command, &fds, Some(self.confined))?;
        let (opened, port_open) = oneshot::channel();
        let (ready, waiting) = oneshot::channel();
        let agent = tokio_stream(agent)?;
        let link = Opener::over(wake(agent, self.spec.boot.clone(), waiting));
        let machine = Machine::start(command, Link::Serial(link), port_open)?;
        drop(inherited);
        Ok(Started { machine, qmp: tokio_stream(qmp)?, opened, ready })
    }
}

/// Saves the guest, which has done nothing yet that only its own box wants, and lets it go on.
async fn save(qmp: &mut Qmp, making: Making) -> io::Result<()> {
    qmp.execute("stop", json!({})).await?;
    let saving = async {
        tell_of_migration(qmp).await?;
        qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": 1_u64 << 40 })).await?;
        qmp.pass("template", making.file()).await?;
        qmp.execute("migrate", json!({ "uri": "fd:template" })).await?;
        qmp.migrated().await
    };
    let saved = timeout(MIGRATION, saving).await.unwrap_or_else(|late| Err(late.into()));
    match saved.and_then(|()| making.finish()) {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "the guest could not be saved as a template"),
    }
    qmp.execute("cont", json!({})).await.map(drop)
}

async fn tell_of_migration(qmp: &mut Qmp) -> io::Result<()> {
    let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    qmp.execute("migrate-set-capabilities", events).await.map(drop)
}

/// Tells the guest what box it is, when it may be told; from then on the port carries streams.
async fn wake(mut port: UnixStream, boot: BootSpec, ready: oneshot::Receiver<()>) -> Option<UnixStream> {
    ready.await.ok()?;
    let tell = async {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        let json = serde_json::to_vec(&Wake { clock_ns: now().saturating_mul(1000), seed, boot })?;
        let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        port.write_all(&length.to_le_bytes()).await?;
        port.write_all(&json).await
    };
    tell.await.inspect_err(|error| tracing::warn!(%error, "the guest does not listen")).ok()?;
    Some(port)
}

fn tokio_stream(stream: StdUnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
