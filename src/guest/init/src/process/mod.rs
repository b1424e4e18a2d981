//! Processes in the box: how one is started, and what init knows of it while it runs.
//!
//! Owns everything between a request and a running program: namespaces, mounts, user, capabilities, seccomp,
//! standard streams. It does not know the agent protocol's streams; `serve` connects those with a [`Process`].

pub(crate) mod caps;
mod env;
pub(crate) mod failure;
pub(crate) mod filesystems;
mod first;
mod limits;
mod program;
mod seccomp;
pub(crate) mod setup;
pub(crate) mod spawner;
pub(crate) mod stdio;
pub(crate) mod user;

use crate::reap::{Ended, Reaper};
use crate::stream::Stream;
use crate::sys::{self, Fork};
use a3s_box_core::{ExecRequest, GuestConfig};
use failure::{Failure, Report};
use rustix::process::Pid;
use rustix::thread::CapabilitySet;
use setup::{Common, Place, Program};
use spawner::{Room, Spawner};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use stdio::Outer;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// A mount that is not yet anywhere, and where it is to be in the box.
pub(crate) struct Mounted {
    pub(crate) path: String,
    pub(crate) mount: OwnedFd,
    /// Whether it is of a file, and no folder.
    pub(crate) file: bool,
}

/// What the container process is made of.
pub(crate) struct Parts {
    pub(crate) hostname: String,
    /// The box's root, not yet mounted anywhere.
    pub(crate) root: OwnedFd,
    /// The box's cgroup.
    pub(crate) cgroup: OwnedFd,
    /// What is to be mounted in the root.
    pub(crate) mounts: Vec<Mounted>,
    /// How many volumes there are.
    pub(crate) volumes: usize,
    /// What it finds inside.
    pub(crate) guest: GuestConfig,
}

/// The box: the container process's namespaces, which every later process joins.
pub(crate) struct Container {
    main: OwnedFd,
    pub(crate) main_pid: Pid,
    /// How many volumes it has.
    pub(crate) volumes: usize,
    cgroup: OwnedFd,
    terminals: OwnedFd,
    pub(crate) common: Arc<Common>,
    /// From the first [`Container::exec`] on.
    spawner: Mutex<Option<Spawner>>,
}

/// A process that was forked, and init's ends of what connects them.
pub(crate) struct Forked {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdio: Outer,
    pub(crate) report: OwnedFd,
}

impl Container {
    /// Forks the container process.
    ///
    /// # Errors
    /// What the kernel refuses; the process itself reports the rest.
    pub(crate) fn start(parts: Parts, exec: ExecRequest) -> io::Result<(Self, Forked)> {
        let terminals = filesystems::new_terminals()?;
        let common = Common::new(parts.hostname, parts.guest);
        // What every process of the box would give up, and have set, is done once, here.
        caps::keep_over_exec()?;
        caps::bound(CapabilitySet::from_bits_retain(u64::MAX), common.bounds)?;
        limits::set_usual()?;
        let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let (root, volumes) = (parts.root.as_fd(), parts.volumes);
        let place = Place::New { root, terminals: terminals.as_fd(), mounts: &parts.mounts, volumes };
        let forked = fork(&place, namespaces, parts.cgroup.as_fd(), terminals.as_fd(), &common, exec)?;
        let main = forked.pidfd.try_clone()?;
        // Every process that init forks from now on is one of the container's.
        let of_main = rustix::thread::ThreadNameSpaceType::PROCESS_ID;
        match rustix::thread::move_into_thread_name_spaces(main.as_fd(), of_main) {
            // It has ended already. Its report says why, and whatever would join it fails.
            Err(rustix::io::Errno::SRCH) => {}
            joined => joined?,
        }
        let container = Self {
            volumes,
            main,
            main_pid: forked.pid,
            cgroup: parts.cgroup,
            terminals,
            common: Arc::new(common),
            spawner: Mutex::new(None),
        };
        Ok((container, forked))
    }

    /// Has the spawner fork a further process.
    ///
    /// # Errors
    /// As [`Container::start`].
    pub(crate) fn exec(&self, exec: &ExecRequest) -> io::Result<Forked> {
        let mut slot = self.spawner.lock().unwrap_or_else(PoisonError::into_inner);
        let spawner = match slot.take() {
            Some(spawner) => spawner,
            None => Spawner::start(self.room())?,
        };
        // One that fails is not put back: the next exec has another.
        let forked = spawner.spawn(exec)?;
        *slot = Some(spawner);
        forked
    }

    fn room(&self) -> Room<'_> {
        Room {
            main: self.main.as_fd(),
            cgroup: self.cgroup.as_fd(),
            terminals: self.terminals.as_fd(),
            common: &self.common,
        }
    }

    /// Forks a child that does `work` in place of a program: in the box, as its root, or outside.
    ///
    /// # Errors
    /// As [`Container::start`].
    pub(crate) fn errand(
        &self,
        outside: bool,
        work: impl FnOnce() -> Result<(), String>,
    ) -> io::Result<Forked> {
        let (inner, outer) = stdio::pair(None, true, self.terminals.as_fd())?;
        let (report, report_inner) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        match sys::fork(0, Some(self.cgroup.as_fd()))? {
            Fork::Parent(pid, pidfd) => Ok(Forked { pid, pidfd, stdio: outer, report }),
            Fork::Child if outside => setup::outside_errand(&inner, &report_inner, work),
            Fork::Child => {
                let place = Place::Join(self.main.as_fd());
                setup::errand(&place, &self.common, &inner, &report_inner, work)
            }
        }
    }

    /// Forks a child into the box's PID namespace and cgroup, to run `work`.
    pub(crate) fn fork(&self, work: impl FnOnce()) -> io::Result<(Pid, OwnedFd)> {
        match sys::fork(0, Some(self.cgroup.as_fd()))? {
            Fork::Parent(pid, pidfd) => Ok((pid, pidfd)),
            Fork::Child => {
                work();
                sys::exit_now(127)
            }
        }
    }

    /// The container process.
    pub(crate) fn main(&self) -> BorrowedFd<'_> {
        self.main.as_fd()
    }
}

fn fork(
    place: &Place<'_>,
    flags: i32,
    cgroup: BorrowedFd<'_>,
    terminals: BorrowedFd<'_>,
    common: &Common,
    exec: ExecRequest,
) -> io::Result<Forked> {
    let (inner, outer) = stdio::pair(exec.tty, exec.stdin, terminals)?;
    let (report, report_inner) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let program = Program::of(exec, common);
    match sys::fork(flags, Some(cgroup))? {
        Fork::Parent(pid, pidfd) => Ok(Forked { pid, pidfd, stdio: outer, report }),
        Fork::Child => match program {
            Ok(program) => setup::run(place, common, program, &inner, &report_inner),
            Err(failure) => setup::finish(&report_inner, || Err(failure)),
        },
    }
}

/// Whether a process has become its program: what [`Process::started`] tells.
pub(crate) type Started = Result<i32, Failure>;

/// A process of the box.
pub(crate) struct Process {
    pub(crate) pidfd: Arc<OwnedFd>,
    pub(crate) stdio: Outer,
    pub(crate) started: watch::Receiver<Option<Started>>,
    pub(crate) ended: watch::Receiver<Option<Ended>>,
}

impl Process {
    /// Takes care of a process that was just forked.
    ///
    /// # Errors
    /// Those of the runtime, which has no room for another descriptor.
    pub(crate) fn watch(forked: Forked, reaper: &Reaper) -> io::Result<Self> {
        let ended = reaper.expect(forked.pid);
        let (tell, started) = watch::channel(None);
        let report = Stream::new(forked.report)?;
        tokio::spawn(async move { tell.send_replace(Some(hear(report).await)) });
        Ok(Self { pidfd: Arc::new(forked.pidfd), stdio: forked.stdio, started, ended })
    }
}

/// Reads what a child reports until it has become its program or has ended.
pub(crate) async fn hear(report: Stream) -> Started {
    let mut bytes = Vec::new();
    let most = u64::try_from(failure::MAX_REPORT).unwrap_or(u64::MAX);
    drop(report.take(most).read_to_end(&mut bytes).await);
    match Report::parse(&bytes) {
        Report::Started(pid) => Ok(pid),
        Report::Failed(failure) => Err(failure),
    }
}

/// Waits for the first value of a channel; none where its sender went away.
pub(crate) async fn value<T: Clone>(channel: &mut watch::Receiver<Option<T>>) -> Option<T> {
    channel.wait_for(Option::is_some).await.ok()?.clone()
}

/// Sends a signal to a process.
///
/// # Errors
/// `ESRCH` where it has ended.
pub(crate) fn signal(process: &OwnedFd, number: i32) -> io::Result<()> {
    sys::send_signal(process.as_fd(), number)
}

/// What is written to, and what is read from: standard output, and standard error where it is apart.
pub(crate) type Streams = (Option<Arc<Stream>>, Vec<Arc<Stream>>);

impl Outer {
    /// Registers init's ends with the runtime.
    pub(crate) fn open(self) -> io::Result<Streams> {
        let stream = |fd| Stream::new(fd).map(Arc::new);
        Ok(match self {
            Self::Pipes { stdin, stdout, stderr } => {
                (stdin.map(stream).transpose()?, vec![stream(stdout)?, stream(stderr)?])
            }
            Self::Terminal(ours) => {
                let ours = stream(ours)?;
                (Some(Arc::clone(&ours)), vec![ours])
            }
        })
    }
}
