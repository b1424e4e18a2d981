//! The new processes of a command that runs apart: a helper that goes to the caller's root and makes the
//! namespaces, the namespaces' first process, and the command.
//!
//! The first process does nothing but wait: it collects what the command leaves behind, which ordinary programs
//! do not, and its end is the end of everything in its namespaces.

use super::answer;
use super::request::Request;
use crate::process::failure::Failure;
use crate::process::setup::{self, Common, Identity, Program};
use crate::process::stdio::{self, Inner};
use crate::process::user::User;
use crate::process::{caps, filesystems};
use crate::rights;
use crate::sys::{self, Fork};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};
use rustix::process::{Pid, WaitOptions};
use rustix::thread::{CapabilitySet, ThreadNameSpaceType};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Everything that the new processes need.
pub(super) struct Task<'a> {
    pub(super) request: Request,
    pub(super) user: Identity,
    pub(super) root: OwnedFd,
    pub(super) stdio: Inner,
    /// The caller's connection, which a terminal is sent over.
    pub(super) caller: BorrowedFd<'a>,
    /// The container process.
    pub(super) main: BorrowedFd<'a>,
    pub(super) common: &'a Common,
    pub(super) report: &'a OwnedFd,
}

/// The helper: joins the box, makes the namespaces, and ends. Their first process is a child of init's.
pub(super) fn run(task: Task<'_>) {
    let proc = prepare(&task);
    let mut kinds = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    if !task.request.net {
        kinds |= libc::CLONE_NEWNET;
    }
    let report = task.report.try_clone();
    match proc.and_then(|proc| {
        sys::fork(kinds | libc::CLONE_PARENT, None)
            .map(|fork| (fork, proc))
            .map_err(|e| Failure::io("cannot make namespaces", e))
    }) {
        Ok((Fork::Child, proc)) => first(task, &proc),
        Ok((Fork::Parent(..), _)) => {}
        // There is no first process, and its id is missing: that is what init sees.
        Err(failure) => {
            if let Ok(report) = report {
                let _ = rustix::io::write(&report, &0i32.to_le_bytes());
                setup::finish(&report, || Err(failure))
            }
        }
    }
}

/// Goes where the caller is, and gives the guest's `/proc`, by which init's numbers are known.
fn prepare(task: &Task<'_>) -> Result<OwnedFd, Failure> {
    sys::reset_signals();
    std::fs::write("/proc/self/oom_score_adj", "0")
        .map_err(|e| Failure::io("cannot set oom_score_adj", e))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc =
        rustix::fs::open("/proc", flags, Mode::empty()).map_err(|e| Failure::io("cannot open /proc", e))?;
    let kinds = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::CONTROL_GROUP;
    let join = || {
        rustix::thread::move_into_thread_name_spaces(task.main, kinds)?;
        rustix::process::fchdir(&task.root)?;
        rustix::process::chroot(".")
    };
    join().map_err(|e| Failure::io("cannot join the box", e))?;
    Ok(proc)
}

/// The first process of the new namespaces.
fn first(task: Task<'_>, proc: &OwnedFd) -> ! {
    let report = task.report;
    let me = own_id(proc);
    let _ = rustix::io::write(report, &me.to_le_bytes());
    let forked = furnish(&task).and_then(|stdio| {
        let fork = sys::fork(0, None).map_err(|e| Failure::io("cannot start a process", e))?;
        Ok((fork, stdio))
    });
    match forked {
        Ok((Fork::Child, terminal)) => {
            let id = own_id(proc);
            setup::finish_as(id, report, || {
                let stdio = terminal.unwrap_or(task.stdio);
                let program = program(task.request, task.user)?;
                Ok(setup::become_program(task.common, program, &stdio))
            })
        }
        Ok((Fork::Parent(command, _), _)) => wait(command, task.common.bounds),
        Err(failure) => setup::finish(report, || Err(failure)),
    }
}

/// This process's id as init knows it.
fn own_id(proc: &OwnedFd) -> i32 {
    let link = rustix::fs::readlinkat(proc, "self", Vec::new()).ok();
    link.and_then(|link| link.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Collects children until the command has ended, and ends as it did.
fn wait(command: Pid, bounds: CapabilitySet) -> ! {
    // Nothing of init's stays open here, and nothing is left that it could be made to do.
    sys::close_from(0);
    let nobody = User { uid: 0, gid: 0, groups: Vec::new(), home: Vec::new() };
    if caps::become_user(&nobody, CapabilitySet::empty(), bounds).is_err() {
        sys::exit_now(126);
    }
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                sys::exit_now(signal.or(status.exit_status()).unwrap_or(126));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => sys::exit_now(126),
        }
    }
}

/// Makes the view of the box that the command has, and its terminal where it wants one.
fn furnish(task: &Task<'_>) -> Result<Option<Inner>, Failure> {
    // Taken before everything becomes read-only, so these do not.
    let mut writable = Vec::new();
    for path in &task.request.writable {
        let mount = copy(path).map_err(|e| Failure::io(format!("cannot keep {path:?} writable"), e))?;
        writable.push((path, mount));
    }
    filesystems::clear(task.request.net);
    read_only_root().map_err(|e| Failure::io("cannot make the root read-only", e))?;
    let terminals = filesystems::new_terminals().map_err(|e| Failure::io("cannot make /dev/pts", e))?;
    filesystems::refurnish(terminals.as_fd(), task.request.net, &task.common.guest)?;
    if rustix::fs::lstat("/tmp").is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir()) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        filesystems::mount("tmpfs", "/tmp", flags, Some(c"mode=1777"))?;
    }
    for (path, mount) in &writable {
        put(path, mount).map_err(|e| Failure::io(format!("cannot keep {path:?} writable"), e))?;
    }
    if !task.request.net {
        sys::loopback_up().map_err(|e| Failure::io("cannot bring the loopback interface up", e))?;
    }
    let Some(size) = task.request.terminal else { return Ok(None) };
    let terminal = || {
        let (ours, terminal, number) = stdio::terminal(terminals.as_fd(), size)?;
        // The caller has the end that drives it.
        rights::send(task.caller, &[answer::TERMINAL], &[ours.as_fd()])?;
        std::io::Result::Ok(Inner::Terminal { terminal, number })
    };
    terminal().map(Some).map_err(|e| Failure::io("cannot make a terminal", e))
}

fn copy(path: &str) -> rustix::io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
}

/// Covers the root by a copy of itself that is read-only throughout.
fn read_only_root() -> std::io::Result<()> {
    let root = copy("/")?;
    sys::mount_fd_read_only(root.as_fd())?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(root.as_fd(), "", rustix::fs::CWD, "/", how)?;
    rustix::process::fchdir(&root)?;
    Ok(rustix::process::chroot(".")?)
}

/// Puts a mount at `path`, which the command's own `/tmp` may have hidden.
fn put(path: &str, mount: &OwnedFd) -> std::io::Result<()> {
    if rustix::fs::stat(path).is_err() {
        let folder = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(mount)?.st_mode).is_dir();
        let parent = std::path::Path::new(path).parent().unwrap_or(std::path::Path::new("/"));
        std::fs::create_dir_all(if folder { std::path::Path::new(path) } else { parent })?;
        if !folder {
            std::fs::File::create_new(path)?.flush()?;
        }
    }
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    Ok(rustix::mount::move_mount(mount.as_fd(), "", rustix::fs::CWD, path, how)?)
}

fn program(request: Request, user: Identity) -> Result<Program, Failure> {
    // The caller's folder may not be in this view; one that was asked for must be.
    let there = rustix::fs::stat(request.cwd.as_str()).is_ok();
    if request.cwd_chosen && !there {
        return Err(Failure::setup(format!("there is no {:?} here", request.cwd)));
    }
    Ok(Program {
        args: request.args,
        env: request.env,
        cwd: if there { request.cwd } else { "/".to_owned() },
        user,
        no_new_privs: true,
        capabilities: CapabilitySet::empty(),
    })
}
