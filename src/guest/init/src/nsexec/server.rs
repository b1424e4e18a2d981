//! Init's side: finds out who asks, forks, and stays until the command has ended or its caller has gone.

use super::isolate::{self, Task};
use super::request::{MAX, Request};
use super::{SOCKET, answer};
use crate::process::failure::Failure;
use crate::process::setup::Identity;
use crate::process::stdio::Inner;
use crate::process::user::User;
use crate::process::{hear, value};
use crate::reap::Ended;
use crate::serve::Guest;
use crate::stream::Stream;
use crate::{rights, sys};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Commands at once; further callers wait.
const MAX_CALLS: usize = 128;
/// Requests that are read at once: each may be large.
const MAX_READING: usize = 2;
/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// The namespaces that tell whether a caller is of the box itself, and not apart already.
const OF_THE_BOX: [&str; 4] = ["pid", "mnt", "user", "net"];

/// Listens to the box's processes.
///
/// # Errors
/// Those of bind(2).
pub(crate) fn serve(guest: Arc<Guest>) -> io::Result<()> {
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(SOCKET)?)?;
    let listener = Stream::new(listener.into())?;
    let (calls, reading) = (Arc::new(Semaphore::new(MAX_CALLS)), Arc::new(Semaphore::new(MAX_READING)));
    tokio::spawn(async move {
        while let Ok(place) = Arc::clone(&calls).acquire_owned().await {
            match listener.read_with(sys::accept).await.and_then(Stream::new) {
                Ok(connection) => {
                    let (guest, reading) = (Arc::clone(&guest), Arc::clone(&reading));
                    tokio::spawn(async move {
                        call(&guest, connection, &reading).await;
                        drop(place);
                    });
                }
                // No descriptors left, perhaps: that passes.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok(())
}

/// One command, from the request to its end.
async fn call(guest: &Guest, mut connection: Stream, reading: &Semaphore) {
    let begun = {
        let Ok(_place) = reading.acquire().await else { return };
        begin(guest, &mut connection).await
    };
    let result = match begun {
        Ok(running) => running.attend(guest, &mut connection).await,
        Err(failure) => Err(failure),
    };
    let told = match result {
        Ok(Some(ended)) => [&[answer::ENDED][..], &code(ended).to_le_bytes()].concat(),
        Ok(None) => return,
        Err(failure) => [&[answer::FAILED, failure.exit_code()][..], failure.message().as_bytes()].concat(),
    };
    // A caller that does not listen is not waited for.
    drop(timeout(PATIENCE, connection.write_all(&told)).await);
}

fn code(ended: Ended) -> i32 {
    if ended.signal > 0 { 128 + ended.signal } else { ended.code }
}

/// Reads the request and forks.
async fn begin(guest: &Guest, connection: &mut Stream) -> Result<Running, Failure> {
    let (request, stdio) = match timeout(PATIENCE, receive(connection)).await {
        Ok(Ok(received)) => received,
        Ok(Err(e)) => return Err(Failure::io("the request cannot be read", e)),
        Err(_) => return Err(Failure::setup("the request did not come in time")),
    };
    let request = Request::decode(&request).ok_or_else(|| Failure::setup("the request makes no sense"))?;
    let (user, root) = identify(guest, connection, &request)?;
    let (report, report_inner) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Failure::io("cannot make a pipe", e))?;
    let task = Task {
        request,
        user,
        root,
        stdio: Inner::Given(stdio),
        caller: connection.as_fd(),
        main: guest.container.main(),
        common: &guest.container.common,
        report: &report_inner,
    };
    let (helper, _) =
        guest.container.fork(|| isolate::run(task)).map_err(|e| Failure::io("cannot start a process", e))?;
    // It ends at once, and tells what matters through the pipe.
    drop(guest.reaper.expect(helper));
    drop(report_inner);
    Stream::new(report).map(|report| Running { report }).map_err(|e| Failure::io("cannot read a pipe", e))
}

/// The request's body, and the caller's standard streams.
async fn receive(connection: &mut Stream) -> io::Result<(Vec<u8>, [OwnedFd; 3])> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut length = [0; 4];
    let (n, fds) = connection.read_with(|socket| rights::receive(socket, &mut length)).await?;
    if n != length.len() {
        return Err(bad());
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| bad())?;
    if length > MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok((body, fds.try_into().map_err(|_| bad())?))
}

/// Who the command runs as, and below which root: both as the kernel says that the caller has them.
fn identify(guest: &Guest, connection: &Stream, request: &Request) -> Result<(Identity, OwnedFd), Failure> {
    let unknown = |e: io::Error| Failure::io("cannot tell who asks", e);
    let caller = sys::peer_pidfd(connection).map_err(unknown)?;
    let peer = rustix::net::sockopt::socket_peercred(connection).map_err(|e| unknown(e.into()))?;
    let namespace = |pid: Pid, kind: &str| {
        let stat = rustix::fs::stat(format!("/proc/{}/ns/{kind}", pid.as_raw_nonzero()))?;
        io::Result::Ok((stat.st_dev, stat.st_ino))
    };
    for kind in OF_THE_BOX {
        let theirs = namespace(peer.pid, kind).map_err(unknown)?;
        if theirs != namespace(guest.container.main_pid, kind).map_err(unknown)? {
            return Err(Failure::setup(
                "nsexec can only be used in the box itself, not from inside nsexec or a namespace of its own",
            ));
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{}/root", peer.pid.as_raw_nonzero()), flags, Mode::empty())
        .map_err(|e| unknown(e.into()))?;
    // All of this was the caller's only if it has not ended meanwhile.
    sys::send_signal(caller.as_fd(), 0).map_err(unknown)?;
    let user = match &request.user {
        Some(_) if peer.uid.as_raw() != 0 => {
            return Err(Failure::setup("only root of the box may choose another user"));
        }
        Some(name) => Identity::Named(name.clone()),
        None => Identity::Known(User {
            uid: peer.uid.as_raw(),
            gid: peer.gid.as_raw(),
            groups: sys::peer_groups(connection).map_err(unknown)?,
            home: b"/".to_vec(),
        }),
    };
    Ok((user, root))
}

/// A command that was forked.
struct Running {
    report: Stream,
}

impl Running {
    /// Stays with the command to its end; none where its caller went away first, which ends it too.
    async fn attend(mut self, guest: &Guest, connection: &mut Stream) -> Result<Option<Ended>, Failure> {
        let gone = |_| Failure::setup("the new namespaces could not be made");
        let first = Pid::from_raw(self.report.read_i32_le().await.map_err(gone)?);
        let first = first.ok_or_else(|| Failure::setup("the new namespaces could not be made"))?;
        let mut ended = guest.reaper.claim(first);
        let namespaces = rustix::process::pidfd_open(first, PidfdFlags::empty());
        let command = match hear(self.report).await {
            Ok(pid) => command(pid, first),
            Err(failure) => {
                value(&mut ended).await;
                return Err(failure);
            }
        };
        loop {
            let mut signal = [0];
            tokio::select! {
                ended = value(&mut ended) => return Ok(ended),
                read = connection.read(&mut signal) => match (read, &command) {
                    (Ok(0) | Err(_), _) => break,
                    (Ok(_), Some(command)) if (1..=64).contains(&signal[0]) => {
                        drop(sys::send_signal(command.as_fd(), signal[0].into()));
                    }
                    (Ok(_), _) => {}
                },
            }
        }
        if let Ok(namespaces) = namespaces {
            drop(sys::send_signal(namespaces.as_fd(), libc::SIGKILL));
        }
        value(&mut ended).await;
        Ok(None)
    }
}

/// The command itself, the only child of its namespaces' first process; none where it has ended.
fn command(pid: i32, first: Pid) -> Option<OwnedFd> {
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Its number may belong to another process by now, but not to another child of the same parent.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent: i32 = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    (first.as_raw_nonzero().get() == parent).then_some(pidfd)
}
