//! The spawner: a process beside init that forks what is to run in the box after the container process.
//!
//! A fork shares the memory of whoever forks until one of the two writes to it. Init writes to most of its own with each
//! call that it serves, and every page of it would cost a fault and a copy: some thirty an exec. The spawner has hardly
//! anything to write to. It is made for the first exec, which most boxes never see, out of the box's sight. What it forks
//! is init's child.

use super::setup::{Common, Place};
use super::stdio::Outer;
use super::{Forked, fork};
use crate::rights;
use crate::sys::{self, Fork};
use a3s_box_core::ExecRequest;
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What processes of the box are forked with: the container process, its cgroup and its terminals.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) main: BorrowedFd<'a>,
    pub(super) cgroup: BorrowedFd<'a>,
    pub(super) terminals: BorrowedFd<'a>,
    pub(super) common: &'a Common,
}

/// Init's way to the spawner. A request is its length and an [`ExecRequest`] as JSON; the answer is the new process's id with
/// init's ends of what connects them, or an error number below zero.
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
            drop(serve(&theirs, room));
            sys::exit_now(0)
        }
        rustix::thread::move_into_thread_name_spaces(room.main, own)?;
        forked.map(|_| Self(ours))
    }

    /// Has a process forked.
    ///
    /// # Errors
    /// Those of clone3(2) and of the socket, which is of no further use then.
    pub(super) fn spawn(&self, exec: &ExecRequest) -> io::Result<Forked> {
        let mut request = vec![0; 4];
        serde_json::to_writer(&mut request, exec)?;
        let length = u32::try_from(request.len() - 4).map_err(io::Error::other)?;
        request[..4].copy_from_slice(&length.to_le_bytes());
        (&self.0).write_all(&request)?;
        let mut answer = [0; 4];
        let (length, fds) = rights::receive(&self.0, &mut answer)?;
        let answer = i32::from_le_bytes(answer);
        let pid = match answer {
            _ if length != 4 => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
            ..=0 => return Err(io::Error::from_raw_os_error(answer.wrapping_neg())),
            _ => Pid::from_raw(answer),
        };
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or(io::ErrorKind::InvalidData);
        let (pidfd, report) = (next()?, next()?);
        let stdio = match exec.tty {
            Some(_) => Outer::Terminal(next()?),
            None => Outer::Pipes { stdout: next()?, stderr: next()?, stdin: next().ok() },
        };
        Ok(Forked { pid: pid.ok_or(io::ErrorKind::InvalidData)?, pidfd, stdio, report })
    }
}

/// Is the spawner, until init has gone.
fn serve(socket: &UnixStream, room: Room<'_>) -> io::Result<()> {
    sys::close_all_but(&[socket.as_fd(), room.main, room.cgroup, room.terminals]);
    rustix::thread::move_into_thread_name_spaces(room.main, ThreadNameSpaceType::PROCESS_ID)?;
    let place = Place::Join(room.main);
    loop {
        let exec = receive(socket)?;
        match fork(&place, libc::CLONE_PARENT, room.cgroup, room.terminals, room.common, exec) {
            Ok(forked) => answer(socket, &forked)?,
            Err(e) => {
                let number = e.raw_os_error().unwrap_or(libc::EIO);
                rights::send(socket, &(-number).to_le_bytes(), &[])?;
            }
        }
    }
}

fn receive(mut socket: &UnixStream) -> io::Result<ExecRequest> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut request = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
    socket.read_exact(&mut request)?;
    Ok(serde_json::from_slice(&request)?)
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
