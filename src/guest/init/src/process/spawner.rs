//! The spawner: a process beside init that forks what is to run in the box after the container process.
//!
//! A fork shares the memory of whoever forks until one of the two writes to it. Init writes to most of its own with each
//! call that it serves, and every page of it would cost a fault and a copy: some thirty an exec. The spawner has hardly
//! anything to write to: it is this program begun anew, so nothing of what init knows is in it either. It is made for the
//! first exec, which most boxes never see, out of the box's sight. What it forks is init's child.

use super::setup::{Common, Place};
use super::stdio::Outer;
use super::{Forked, fork};
use crate::rights;
use crate::sys::{self, Fork};
use a3s_box_core::{ExecRequest, GuestConfig};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// What processes of the box are forked with: the container process, its cgroup and its terminals.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) main: BorrowedFd<'a>,
    pub(super) cgroup: BorrowedFd<'a>,
    pub(super) terminals: BorrowedFd<'a>,
    pub(super) common: &'a Common,
}

/// What this program is called as the spawner. Its standard input is the socket to init.
pub(crate) const NAME: &CStr = c"a3s-box-spawner";

/// Init's way to the spawner. A message is its length and JSON. First comes the box: its name and its [`GuestConfig`], with
/// the descriptors of its [`Room`]. A request is an [`ExecRequest`]; the answer is the new process's id with init's ends of
/// what connects them, or an error number below zero.
pub(super) struct Spawner(UnixStream);

impl Spawner {
    /// Forks the spawner.
    ///
    /// # Errors
    /// What the kernel refuses: `ESRCH` where the box has ended, in which nothing can be forked then.
    pub(super) fn start(room: Room<'_>) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let init = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        // In init's own PID namespace, and not in the box's as init's other children.
        let own = ThreadNameSpaceType::PROCESS_ID;
        rustix::thread::move_into_thread_name_spaces(init.as_fd(), own)?;
        let forked = sys::fork(0, None);
        if let Ok(Fork::Child) = forked {
            drop(begin_anew(&theirs));
            sys::exit_now(127)
        }
        rustix::thread::move_into_thread_name_spaces(room.main, own)?;
        forked?;
        let message = message(&(&room.common.hostname, &room.common.guest))?;
        let (length, json) = message.split_at(LENGTH);
        rights::send(&ours, length, &[room.main, room.cgroup, room.terminals])?;
        (&ours).write_all(json)?;
        Ok(Self(ours))
    }

    /// Has a process forked.
    ///
    /// # Errors
    /// Of the socket: the spawner is of no further use then. Within: of clone3(2).
    pub(super) fn spawn(&self, exec: &ExecRequest) -> io::Result<io::Result<Forked>> {
        (&self.0).write_all(&message(exec)?)?;
        let mut answer = [0; 4];
        let (length, fds) = rights::receive(&self.0, &mut answer)?;
        let answer = i32::from_le_bytes(answer);
        let pid = match answer {
            _ if length != 4 => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
            ..=0 => return Ok(Err(io::Error::from_raw_os_error(answer.wrapping_neg()))),
            _ => Pid::from_raw(answer),
        };
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or(io::ErrorKind::InvalidData);
        let (pidfd, report) = (next()?, next()?);
        let stdio = match exec.tty {
            Some(_) => Outer::Terminal(next()?),
            None => Outer::Pipes { stdout: next()?, stderr: next()?, stdin: next().ok() },
        };
        Ok(Ok(Forked { pid: pid.ok_or(io::ErrorKind::InvalidData)?, pidfd, stdio, report }))
    }
}

/// Becomes this program anew, as the spawner.
fn begin_anew(socket: &UnixStream) -> io::Result<()> {
    rustix::stdio::dup2_stdin(socket)?;
    sys::close_from(3);
    Err(sys::execve(c"/proc/self/exe", &[NAME.to_owned()], &[]))
}

/// Is the spawner, until init has gone.
pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(never) => match never {},
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<Infallible> {
    // As init's children, until they exec.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let socket = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let mut length = [0; LENGTH];
    let (_, fds) = rights::receive(&socket, &mut length)?;
    let [main, cgroup, terminals] = <[_; 3]>::try_from(fds).map_err(|_| io::ErrorKind::InvalidData)?;
    let (hostname, guest): (String, GuestConfig) = receive(&socket, length)?;
    let common = Common::new(hostname, guest);
    rustix::thread::move_into_thread_name_spaces(main.as_fd(), ThreadNameSpaceType::PROCESS_ID)?;
    let place = Place::Join(main.as_fd());
    loop {
        (&socket).read_exact(&mut length)?;
        let exec: ExecRequest = receive(&socket, length)?;
        match fork(&place, libc::CLONE_PARENT, cgroup.as_fd(), terminals.as_fd(), &common, exec) {
            Ok(forked) => answer(&socket, &forked)?,
            Err(e) => {
                let number = e.raw_os_error().unwrap_or(libc::EIO);
                rights::send(&socket, &(-number).to_le_bytes(), &[])?;
            }
        }
    }
}

/// How many bytes tell a message's length.
const LENGTH: usize = size_of::<u32>();

fn message(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; LENGTH];
    serde_json::to_writer(&mut message, what)?;
    let length = u32::try_from(message.len() - LENGTH).map_err(io::Error::other)?;
    message[..LENGTH].copy_from_slice(&length.to_le_bytes());
    Ok(message)
}

/// Receives what comes behind the `length` of a message.
fn receive<T: DeserializeOwned>(mut socket: &UnixStream, length: [u8; LENGTH]) -> io::Result<T> {
    let mut json = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
    socket.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn answer(socket: &UnixStream, forked: &Forked) -> io::Result<()> {
    let mut fds = vec![forked.pidfd.as_fd(), forked.report.as_fd()];
    match &forked.stdio {
        Outer::Terminal(terminal) => fds.push(terminal.as_fd()),
        Outer::Pipes { stdin, stdout, stderr } => {
            fds.extend([stdout.as_fd(), stderr.as_fd()]);
            fds.extend(stdin.as_ref().map(AsFd::as_fd));
        }
    }
    rights::send(socket, &forked.pid.as_raw_nonzero().get().to_le_bytes(), &fds)
}
