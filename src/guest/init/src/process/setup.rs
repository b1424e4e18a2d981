//! From a forked child of init to a program in the box: everything between clone and exec.
//!
//! Runs in the child alone, which never returns. It may use ordinary code (see `sys`), and it reports through a
//! pipe why it failed.

use super::failure::{self, Failure};
use super::stdio::Inner;
use super::user::{self, User};
use super::{Mounted, caps, env, filesystems, first, limits, program, seccomp};
use crate::sys;
use a3s_box_core::{ExecRequest, GuestConfig, capabilities};
use libc::sock_filter;
use rustix::fs::Mode;
use rustix::thread::{CapabilitySet, ThreadNameSpaceType};
use std::ffi::CString;
use std::fs::DirBuilder;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;

/// Where a process is to run.
pub(crate) enum Place<'a> {
    /// It is the container process: its namespaces are new, and furnished by it.
    New { root: BorrowedFd<'a>, terminals: BorrowedFd<'a>, mounts: &'a [Mounted], volumes: usize },
    /// It joins the container process's namespaces.
    Join(BorrowedFd<'a>),
}

/// What of a box every process in it shares.
pub(crate) struct Common {
    pub(crate) hostname: String,
    pub(crate) filter: Vec<sock_filter>,
    /// What init has left its children of the capabilities that there are.
    pub(crate) bounds: CapabilitySet,
    pub(crate) guest: GuestConfig,
}

impl Common {
    pub(crate) fn new(hostname: String, guest: GuestConfig) -> Self {
        let filter = seccomp::filter(!guest.unconfined);
        let bounds = CapabilitySet::from_bits_retain(guest.capabilities()) | usual_capabilities();
        Self { hostname, filter, bounds, guest }
    }
}

/// Who a process becomes: a name to look up, or somebody already known.
pub(crate) enum Identity {
    Named(String),
    Known(User),
}

/// What a process becomes.
pub(crate) struct Program {
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: String,
    pub(crate) user: Identity,
    pub(crate) no_new_privs: bool,
    pub(crate) capabilities: CapabilitySet,
}

impl Program {
    /// What `exec` asks for, with the capabilities that `common` has for root.
    pub(crate) fn of(exec: ExecRequest, common: &Common) -> Result<Self, Failure> {
        let strings = |what: &str, list: Vec<String>| -> Result<Vec<CString>, Failure> {
            let string = |(n, s): (usize, String)| {
                CString::new(s).map_err(|_| Failure::setup(format!("{what} {n} holds a NUL byte")))
            };
            list.into_iter().enumerate().map(string).collect()
        };
        if !exec.cwd.is_empty() && !exec.cwd.starts_with('/') {
            return Err(Failure::setup(format!(
                "the working directory {:?} is not an absolute path",
                exec.cwd
            )));
        }
        Ok(Self {
            args: strings("argument", exec.args)?,
            env: strings("variable", exec.env)?,
            cwd: exec.cwd,
            user: Identity::Named(exec.user),
            no_new_privs: exec.no_new_privs,
            capabilities: CapabilitySet::from_bits_retain(common.guest.capabilities()),
        })
    }
}

/// Goes to `place` and becomes `program`.
pub(crate) fn run(
    place: &Place<'_>,
    common: &Common,
    program: Program,
    stdio: &Inner,
    report: &OwnedFd,
) -> ! {
    finish(report, || {
        enter(place, common, stdio, &program.cwd)?;
        if common.guest.init && matches!(place, Place::New { .. }) {
            first::remain(common.bounds)?;
        }
        Ok(become_program(common, program, stdio))
    })
}

/// What root has in a box where nothing was said of it.
pub(crate) fn usual_capabilities() -> CapabilitySet {
    CapabilitySet::from_bits_retain(capabilities(&[], &[]))
}

/// Goes to `place` as the box's root, with what root may do there, and does `work` in place of a program. What that
/// says is written to standard error.
pub(crate) fn errand(
    place: &Place<'_>,
    common: &Common,
    stdio: &Inner,
    report: &OwnedFd,
    work: impl FnOnce() -> Result<(), String>,
) -> ! {
    // Init's would end the machine.
    drop(std::panic::take_hook());
    let prepare = || -> Result<(), Failure> {
        enter(place, common, stdio, "")?;
        let root = User { uid: 0, gid: 0, groups: Vec::new(), home: Vec::new() };
        rustix::process::setsid().map_err(|e| Failure::io("cannot begin a session", e))?;
        stdio.take(&root)?;
        rustix::process::umask(Mode::empty());
        sys::install_filter(&common.filter)
            .map_err(|e| Failure::io("cannot install the seccomp filter", e))?;
        // What was taken from the box's own root is not taken from the user who asks for this.
        caps::become_user(&root, usual_capabilities(), common.bounds)
    };
    run_errand(prepare(), report, work)
}

/// As [`errand`], outside the box and with all rights: for what the box does not see of itself.
pub(crate) fn outside_errand(
    stdio: &Inner,
    report: &OwnedFd,
    work: impl FnOnce() -> Result<(), String>,
) -> ! {
    drop(std::panic::take_hook());
    let prepare = || -> Result<(), Failure> {
        sys::reset_signals();
        std::fs::write("/proc/self/oom_score_adj", "0")
            .map_err(|e| Failure::io("cannot set oom_score_adj", e))?;
        let root = User { uid: 0, gid: 0, groups: Vec::new(), home: Vec::new() };
        stdio.take(&root)
    };
    run_errand(prepare(), report, work)
}

/// Tells whether this process is `prepared`, and does `work`.
fn run_errand(
    prepared: Result<(), Failure>,
    report: &OwnedFd,
    work: impl FnOnce() -> Result<(), String>,
) -> ! {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let _ = rustix::io::write(report, &failure::report(pid, prepared.as_ref().err()));
    if prepared.is_err() {
        sys::exit_now(127);
    }
    // Of init's descriptors none is needed any more, and others wait for the end of some.
    sys::close_from(3);
    match work() {
        Ok(()) => sys::exit_now(0),
        Err(message) => {
            eprint!("{message}");
            sys::exit_now(1)
        }
    }
}

/// Says who this process is, does `work`, and reports the failure that comes out of it in any case.
pub(crate) fn finish(report: &OwnedFd, work: impl FnOnce() -> Result<Failure, Failure>) -> ! {
    finish_as(rustix::process::getpid().as_raw_nonzero().get(), report, work)
}

/// As [`finish`], for a process that init is to know by another id than it has itself.
pub(crate) fn finish_as(pid: i32, report: &OwnedFd, work: impl FnOnce() -> Result<Failure, Failure>) -> ! {
    let _ = rustix::io::write(report, &failure::report(pid, None));
    let (Ok(failure) | Err(failure)) = work();
    let _ = rustix::io::write(report, &failure::report(pid, Some(&failure))[4..]);
    sys::exit_now(127)
}

fn enter(place: &Place<'_>, common: &Common, stdio: &Inner, cwd: &str) -> Result<(), Failure> {
    sys::reset_signals();
    // Init is spared when memory runs out; its children are not.
    std::fs::write("/proc/self/oom_score_adj", "0")
        .map_err(|e| Failure::io("cannot set oom_score_adj", e))?;
    match place {
        Place::Join(main) => {
            let kinds = ThreadNameSpaceType::MOUNT
                | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                | ThreadNameSpaceType::CONTROL_GROUP;
            rustix::thread::move_into_thread_name_spaces(*main, kinds)
                .map_err(|e| Failure::io("cannot join the box, which may just have ended", e))
        }
        Place::New { root, terminals, mounts, volumes } => {
            // Only here, where the process is in its cgroup already, does that become the namespace's root.
            sys::unshare(libc::CLONE_NEWCGROUP)
                .map_err(|e| Failure::io("cannot make a cgroup namespace", e))?;
            rustix::system::sethostname(common.hostname.as_bytes())
                .map_err(|e| Failure::io(format!("cannot set the host name {:?}", common.hostname), e))?;
            limits::set_parameters(&common.guest.sysctls)?;
            let devices = filesystems::devices()?;
            filesystems::enter(*root, crate::boot::OWN_MOUNTS, *volumes)?;
            filesystems::furnish(&devices, *terminals, mounts, &common.guest)?;
            if let Inner::Terminal { number, .. } = stdio {
                filesystems::console(*number)?;
            }
            if common.guest.read_only {
                // As Docker does, also in a root that nobody else can write to.
                go_to(if cwd.is_empty() { "/" } else { cwd })?;
                filesystems::protect_root()?;
            }
            Ok(())
        }
    }
}

/// Gives up everything that the program may not have, and becomes it. What is returned is why that failed.
pub(crate) fn become_program(common: &Common, program: Program, stdio: &Inner) -> Failure {
    let Program { args, mut env, cwd, user, no_new_privs, capabilities } = program;
    let prepare = || -> Result<(), Failure> {
        let user = match user {
            Identity::Named(name) => user::look_up(&name, &common.guest.groups)?,
            Identity::Known(user) => user,
        };
        rustix::process::setsid().map_err(|e| Failure::io("cannot begin a session", e))?;
        stdio.take(&user)?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        go_to(if cwd.is_empty() { "/" } else { &cwd })?;
        env::complete(&mut env, &common.hostname, &user.home, stdio.is_terminal())?;
        limits::limit_resources(&common.guest.ulimits)?;
        if no_new_privs {
            rustix::thread::set_no_new_privs(true).map_err(|e| Failure::io("cannot set no_new_privs", e))?;
        }
        // Whoever may not gain privileges or is still privileged may install a filter; later nobody may.
        sys::install_filter(&common.filter)
            .map_err(|e| Failure::io("cannot install the seccomp filter", e))?;
        caps::become_user(&user, capabilities, common.bounds)?;
        sys::close_on_exec_from(3).map_err(|e| Failure::io("cannot close descriptors", e))
    };
    match prepare() {
        Ok(()) => program::execute(&args, &env),
        Err(failure) => failure,
    }
}

/// Makes the working directory, as Docker does where it is missing, and goes there.
fn go_to(cwd: &str) -> Result<(), Failure> {
    if let Err(e) = rustix::process::chdir(cwd) {
        if e != rustix::io::Errno::NOENT {
            return Err(Failure::io(format!("cannot enter the working directory {cwd:?}"), e));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(cwd)
            .map_err(|e| Failure::io(format!("cannot make the working directory {cwd:?}"), e))?;
        rustix::process::chdir(cwd)
            .map_err(|e| Failure::io(format!("cannot enter the working directory {cwd:?}"), e))?;
    }
    // A path such as /proc/self/fd/N could lead out of the box.
    match std::env::current_dir() {
        Ok(dir) if dir.is_absolute() => Ok(()),
        _ => Err(Failure::setup(format!("the working directory {cwd:?} is outside the box"))),
    }
}
