//! The three standard streams of a process: pipes or a terminal on one side, init on the other.

use super::failure::Failure;
use super::user::User;
use a3s_box_core::TtySize;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Uid};
use rustix::pty::OpenptFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The group that owns terminals.
const TTY_GROUP: u32 = 5;

/// The process's side.
pub(crate) enum Inner {
    /// `None`: standard input is at its end from the start.
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    /// A terminal, and its number in `/dev/pts`.
    Terminal { terminal: OwnedFd, number: u32 },
    /// Descriptors of somebody else's, which are left as they are.
    Given([OwnedFd; 3]),
}

/// Init's side.
pub(crate) enum Outer {
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
}

/// Makes both sides. A terminal comes from the box's own `terminals`.
pub(crate) fn pair(
    tty: Option<TtySize>,
    stdin: bool,
    terminals: BorrowedFd<'_>,
) -> rustix::io::Result<(Inner, Outer)> {
    if let Some(size) = tty {
        let (ours, terminal, number) = terminal(terminals, size)?;
        return Ok((Inner::Terminal { terminal, number }, Outer::Terminal(ours)));
    }
    let pipe = || {
        let ends = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::pipe::fcntl_setpipe_size(&ends.0, PIPE)?;
        rustix::io::Result::Ok(ends)
    };
    let (stdin_inner, stdin_outer) =
        if stdin { pipe().map(|(r, w)| (Some(r), Some(w)))? } else { (None, None) };
    let (stdout_outer, stdout) = pipe()?;
    let (stderr_outer, stderr) = pipe()?;
    let inner = Inner::Pipes { stdin: stdin_inner, stdout, stderr };
    Ok((inner, Outer::Pipes { stdin: stdin_outer, stdout: stdout_outer, stderr: stderr_outer }))
}

/// The size of a pipe: what a process can write before this one has to run.
const PIPE: usize = 1 << 20;

/// A new terminal of `size`: the end that drives it, itself, and its number.
pub(crate) fn terminal(
    terminals: BorrowedFd<'_>,
    size: TtySize,
) -> rustix::io::Result<(OwnedFd, OwnedFd, u32)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ours = rustix::fs::openat(terminals, "ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&ours)?;
    resize(ours.as_fd(), size)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&ours, peer)?;
    let name = rustix::pty::ptsname(&ours, Vec::new())?;
    let number = name.to_str().ok().and_then(|n| n.rsplit('/').next()?.parse().ok());
    Ok((ours, terminal, number.ok_or(rustix::io::Errno::IO)?))
}

/// Tells a terminal its size; whoever is in its foreground hears of it.
pub(crate) fn resize(terminal: BorrowedFd<'_>, size: TtySize) -> rustix::io::Result<()> {
    let size = rustix::termios::Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

impl Inner {
    /// Whether the process is at a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// Makes these the descriptors 0, 1 and 2 of this process, and `user`'s, who may then open `/dev/stdout`
    /// and the terminal by name.
    pub(crate) fn take(&self, user: &User) -> Result<(), Failure> {
        self.install(user).map_err(|e| Failure::io("cannot set up the standard streams", e))
    }

    fn install(&self, user: &User) -> io::Result<()> {
        let own = |fd: &OwnedFd, gid: u32| {
            rustix::fs::fchown(fd, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(gid)))
        };
        let stdio = |stdin: &OwnedFd, stdout: &OwnedFd, stderr: &OwnedFd| -> io::Result<()> {
            rustix::stdio::dup2_stdin(stdin)?;
            rustix::stdio::dup2_stdout(stdout)?;
            Ok(rustix::stdio::dup2_stderr(stderr)?)
        };
        match self {
            Self::Pipes { stdin, stdout, stderr } => {
                // They are root's already.
                if (user.uid, user.gid) != (0, 0) {
                    for fd in stdin.iter().chain([stdout, stderr]) {
                        own(fd, user.gid)?;
                    }
                }
                match stdin {
                    Some(stdin) => stdio(stdin, stdout, stderr),
                    None => {
                        let null =
                            rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
                        stdio(&null, stdout, stderr)
                    }
                }
            }
            Self::Terminal { terminal, .. } => {
                own(terminal, TTY_GROUP)?;
                rustix::process::ioctl_tiocsctty(terminal)?;
                stdio(terminal, terminal, terminal)
            }
            Self::Given([stdin, stdout, stderr]) => stdio(stdin, stdout, stderr),
        }
    }
}
