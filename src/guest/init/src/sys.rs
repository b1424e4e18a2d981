//! The guest init's unsafe code: system calls that have no safe form in the crates we use.
//!
//! Init is one thread for all its life. That is what makes it sound that the child of a [`fork`] runs ordinary
//! code until it execs: no lock can be held by a thread that is not there.
#![allow(unsafe_code, reason = "system calls that rustix and tokio do not offer")]

use rustix::process::Pid;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use tokio::io::unix::AsyncFd;

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The process that forked: the child's id, and a descriptor that means it for ever.
    Parent(Pid, OwnedFd),
}

/// As fork(2), with `flags` (`CLONE_NEW*`, and `CLONE_PARENT`) and, where given, in another cgroup. The child has none of
/// this process's signal handlers.
///
/// # Errors
/// Those of clone3(2); `ENOMEM` also where the PID namespace to be joined has ended.
pub(crate) fn fork(flags: libc::c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: libc::c_int = -1;
    let unsigned = |n: libc::c_int| u64::from(n.cast_unsigned());
    // SAFETY: all zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = unsigned(flags | libc::CLONE_PIDFD);
    args.pidfd = ptr::from_mut(&mut pidfd).expose_provenance() as u64;
    // The child of a sibling's ends as the sibling does; clone3 refuses to hear it twice.
    args.exit_signal = if flags & libc::CLONE_PARENT == 0 { unsigned(libc::SIGCHLD) } else { 0 };
    // These do not fit libc's int.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    args.flags |= CLONE_CLEAR_SIGHAND;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = unsigned(cgroup.as_raw_fd());
    }
    // SAFETY: without CLONE_VM and without a stack this is fork(2): the child goes on in a copy of this memory.
    // This process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        None => Ok(Fork::Child),
        // SAFETY: the kernel has just put a descriptor there, for us alone.
        Some(pid) => Ok(Fork::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Replaces this process by the program at `path`; returns only where that failed.
pub(crate) fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null and their strings live until the call returns.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once, without running anything that is due at its end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no conditions.
    unsafe { libc::_exit(code) }
}

/// Leaves the namespaces of these kinds for new ones.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: only CLONE_NEW* flags are passed, which do not concern memory or descriptors.
    check(unsafe { libc::unshare(flags) }.into())
}

/// Gives every signal its default action and unblocks all, in the child of a [`fork`]: what a program may expect.
pub(crate) fn reset_signals() {
    // SAFETY: the default action runs no code of ours; the set is initialised before it is used.
    unsafe {
        // The fork took handlers away, but not that this one is ignored, by Rust's runtime.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Blocks the signals of these numbers and gives a descriptor from which they are read.
pub(crate) fn signal_fd(numbers: impl IntoIterator<Item = i32>) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised before it is used; the descriptor is ours alone.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut set);
        for number in numbers {
            libc::sigaddset(&raw mut set, number);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Mixes `seed` into the kernel's random numbers, and has them begin anew from it: a copied guest has its original's
/// (random(4)).
pub(crate) fn reseed(seed: &[u8; 32]) -> io::Result<()> {
    /// `struct rand_pool_info`.
    #[repr(C)]
    struct Pool {
        bits: libc::c_int,
        bytes: libc::c_int,
        seed: [u8; 32],
    }
    const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
    const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
    let random = std::fs::File::open("/dev/urandom")?;
    let pool = Pool { bits: 256, bytes: 32, seed: *seed };
    // SAFETY: the structure is what random(4) says, and as long as it says of itself.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const pool) }.into())?;
    // SAFETY: it takes no argument.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) }.into())
}

/// Sends any signal, real-time ones too.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the third argument may be null (pidfd_send_signal(2)).
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
}

/// Installs a seccomp filter on this process and what it will become.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, and does not write to it.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    })
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: nothing is closed; only flags change.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) {
    // SAFETY: called where this process has no more use for any of them, and never returns to their owners.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Makes the mount at `path` read-only.
pub(crate) fn mount_read_only(path: &CStr) -> io::Result<()> {
    set_read_only(libc::AT_FDCWD, path, 0)
}

/// Makes a mount, and those below it, read-only.
pub(crate) fn mount_fd_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    set_read_only(mount.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE)
}

fn set_read_only(folder: libc::c_int, path: &CStr, flags: libc::c_int) -> io::Result<()> {
    let attr =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: the structure outlives the call, and its size is passed with it.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, folder, path.as_ptr(), flags, &raw const attr, size)
    })
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all zero is a valid ifreq; the union's flags are what SIOCSIFFLAGS reads.
    unsafe {
        let mut request: libc::ifreq = zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        request.ifr_ifru.ifru_flags = 1; // IFF_UP, which does not fit libc's short
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request).into())
    }
}

/// Listens on a vsock port, for anyone who reaches this machine.
pub(crate) fn vsock_listen(port: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) has no conditions.
    let fd = unsafe { libc::socket(libc::AF_VSOCK, kind, 0) };
    check(fd.into())?;
    // SAFETY: it was just made, and is ours alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all zero is a valid sockaddr_vm, and its size is passed with it.
    unsafe {
        let mut address: libc::sockaddr_vm = zeroed();
        address.svm_family = 40; // AF_VSOCK, which does not fit libc's int
        address.svm_cid = libc::VMADDR_CID_ANY;
        address.svm_port = port;
        let size = u32::try_from(size_of::<libc::sockaddr_vm>()).unwrap_or(0);
        check(libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size).into())?;
        check(libc::listen(fd.as_raw_fd(), 128).into())?;
    }
    Ok(fd)
}

/// The next connection of a listening socket of any family.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the peer's address is not asked for.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) };
    check(fd.into())?;
    // SAFETY: it was just made, and is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor of the process at the other end of a UNIX socket, as it was when it connected.
pub(crate) fn peer_pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let socket = socket.as_fd().as_raw_fd();
    let mut fd: libc::c_int = -1;
    let mut size = u32::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    let (value, size) = ((&raw mut fd).cast(), &raw mut size);
    // SAFETY: the option is an int, and its size is passed with it.
    check(unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, SO_PEERPIDFD, value, size) }.into())?;
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The supplementary groups of the process at the other end of a UNIX socket.
pub(crate) fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    const MAX: usize = 65536;
    let mut groups: Vec<u32> = vec![0; 64];
    loop {
        let mut size = u32::try_from(groups.len() * size_of::<u32>()).unwrap_or(0);
        // SAFETY: the option is an array of 32-bit numbers, and its size in bytes is passed with it.
        let got = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        match check(got.into()) {
            Ok(()) => {
                groups.truncate(usize::try_from(size).unwrap_or(0) / size_of::<u32>());
                return Ok(groups);
            }
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) && groups.len() < MAX => {
                groups.resize(MAX, 0);
            }
            Err(e) => return Err(e),
        }
    }
}

/// Gives memory that is free again back to the box, of which all but little is meant for its own processes.
pub(crate) fn trim_eagerly() {
    // SAFETY: mallopt(3) only sets a parameter; there is one thread.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10) };
}

/// Registers a descriptor with the runtime.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and stays the same one until its owner, here the result, drops it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
