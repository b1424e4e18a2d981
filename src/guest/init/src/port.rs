//! How the host reaches this guest: a virtio-serial port that carries many streams, or vsock.

use crate::stream::Stream;
use crate::sys;
use a3s_box_agent::mux::Acceptor;
use a3s_box_agent::proto::agent::agent_server::{Agent, AgentServer};
use a3s_box_agent::{AGENT_PORT, AGENT_PORT_NAME, Window, serve};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::BufStream;
use tokio::time::{Instant, sleep};

/// The virtio device id of a socket device.
const VIRTIO_VSOCK: &str = "0x0013";
/// How long the kernel may take to find the port.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a port that is not there yet is looked for.
pub(crate) const PAUSE: Duration = Duration::from_micros(500);
/// How often a port whose host has gone is looked at.
const RECONNECT: Duration = Duration::from_millis(50);
/// The most that the port's driver takes at once.
const WRITE: usize = 32 << 10;
const READ: usize = 16 << 10;

/// Listens for a host that comes by vsock: it may connect from now on, and waits until it is served.
///
/// # Errors
/// Those of socket(2), whether or not there is a vsock device.
pub(crate) fn listen() -> io::Result<OwnedFd> {
    sys::vsock_listen(AGENT_PORT)
}

/// Where the host may come: the agent's port where it is open already, and what [`listen`] made.
pub(crate) type Ways = (Option<OwnedFd>, OwnedFd);

/// Serves `agent` to the host for ever, where it comes.
pub(crate) async fn serve_host<A: Agent>(
    (port, listener): Ways,
    agent: AgentServer<A>,
    window: Window,
) -> io::Error {
    let way = port.map_or_else(find, |port| Ok(Some(port)));
    let result = match way {
        Ok(Some(port)) => {
            drop(listener);
            serve_port(&port, agent, window).await
        }
        Ok(None) => serve_vsock(listener, agent, window).await,
        Err(e) => Err(e),
    };
    let Err(error) = result;
    error
}

/// Opens the agent's port. Reading from it waits.
///
/// # Errors
/// Those of open(2); `Other` where there is no such port.
pub(crate) fn open() -> io::Result<OwnedFd> {
    find()?.ok_or_else(|| io::Error::other(format!("no virtio port {AGENT_PORT_NAME}")))
}

enum Never {}

/// The agent's port, opened; none where the host is reached through vsock.
fn find() -> io::Result<Option<OwnedFd>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(name) = port_named(AGENT_PORT_NAME) {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            match rustix::fs::open(format!("/dev/{name}"), flags, Mode::empty()) {
                // The device's file comes a moment after its name.
                Err(rustix::io::Errno::NOENT) if Instant::now() < deadline => {}
                port => return Ok(Some(port?)),
            }
        } else if has_vsock() {
            return Ok(None);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("no virtio port {AGENT_PORT_NAME} and no vsock device")));
        }
        std::thread::sleep(PAUSE);
    }
}

fn port_named(wanted: &str) -> Option<String> {
    std::fs::read_dir("/sys/class/virtio-ports").ok()?.flatten().find_map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("name")).ok()?;
        (name.trim_end() == wanted).then(|| entry.file_name().into_string().ok())?
    })
}

fn has_vsock() -> bool {
    let Ok(devices) = std::fs::read_dir("/sys/bus/virtio/devices") else { return false };
    devices
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("device")).ok())
        .any(|id| id.trim_end() == VIRTIO_VSOCK)
}

/// One session after the other: a host that was away begins a new one.
async fn serve_port<A: Agent>(port: &OwnedFd, agent: AgentServer<A>, window: Window) -> io::Result<Never> {
    loop {
        let io = BufStream::with_capacity(READ, WRITE, Stream::new(port.try_clone()?)?);
        let mut session = Acceptor::over(io);
        while let Some(stream) = session.accept().await {
            tokio::spawn(serve(stream, agent.clone(), window));
        }
        drop(session);
        // Nothing tells of the host's return but the port's state.
        while hung_up(port)? {
            sleep(RECONNECT).await;
        }
    }
}

fn hung_up(port: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(port, PollFlags::empty())];
    rustix::event::poll(&mut fds, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().contains(PollFlags::HUP))
}

async fn serve_vsock<A: Agent>(
    listener: OwnedFd,
    agent: AgentServer<A>,
    window: Window,
) -> io::Result<Never> {
    let listener = Stream::new(listener)?;
    loop {
        match listener.read_with(sys::accept).await {
            Ok(connection) => {
                tokio::spawn(serve(Stream::new(connection)?, agent.clone(), window));
            }
            // One connection's trouble, or no descriptors left: neither may end the guest.
            Err(_) => sleep(RECONNECT).await,
        }
    }
}
