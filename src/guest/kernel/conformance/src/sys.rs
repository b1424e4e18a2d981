//! What cannot be asked of a kernel without telling the compiler to trust us.

use rustix::process::Pid;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs `case` in a child process, which ends with it.
pub fn fork(case: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: callers fork while they have one thread, so the child may do all that they may.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case));
            // SAFETY: nothing of the parent's is cleaned up twice.
            unsafe { libc::_exit(if told.is_ok() { 0 } else { 101 }) }
        }
        pid => Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no process")),
    }
}

/// Leaves the namespaces that `what` names for new ones.
pub fn leave(what: rustix::thread::UnshareFlags) {
    // SAFETY: descriptors and memory stay shared as they are; no flag for them is ever among these.
    let left = unsafe { rustix::thread::unshare_unsafe(what) };
    left.unwrap_or_else(|error| panic!("unshare {what:?}: {error}"));
}

/// A system call by its number: what no library wraps, and what none would let us do wrong.
pub fn call(number: i64, args: [usize; 6]) -> io::Result<usize> {
    // SAFETY: callers pass numbers and addresses of their own mappings, or addresses that the kernel must refuse.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Private or shared anonymous memory, given back when dropped.
pub struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// `len` bytes, zero, readable and writable.
    pub fn new(len: usize, shared: bool) -> Self {
        let kind = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        // SAFETY: a new mapping where the kernel likes takes nothing from anybody.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                kind | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "mmap of {len} bytes: {}", io::Error::last_os_error());
        Self { start: start.cast(), len }
    }

    /// The address of the byte at `offset`.
    pub fn at(&self, offset: usize) -> usize {
        assert!(offset < self.len);
        self.start.addr() + offset
    }

    /// The bytes. They must not have been made unreadable.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is ours alone to touch in this process, and lives as long as the borrow.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// What the bytes at `offset` hold, as a counter that other processes may change.
    pub fn counter(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: aligned, inside the mapping, and every bit pattern is a counter.
        unsafe { &*self.start.add(offset).cast::<AtomicU64>() }
    }

    /// Changes the protection of the pages from `offset` on.
    pub fn protect(&self, offset: usize, len: usize, protection: i32) {
        assert!(offset + len <= self.len);
        // SAFETY: pages of our own mapping.
        let done = unsafe { libc::mprotect(self.start.add(offset).cast(), len, protection) };
        assert_eq!(done, 0, "mprotect: {}", io::Error::last_os_error());
    }

    /// Gives the kernel `advice` on the pages from `offset` on.
    pub fn advise(&self, offset: usize, len: usize, advice: i32) {
        assert!(offset + len <= self.len);
        // SAFETY: pages of our own mapping; at worst they are zero afterwards.
        let done = unsafe { libc::madvise(self.start.add(offset).cast(), len, advice) };
        assert_eq!(done, 0, "madvise {advice}: {}", io::Error::last_os_error());
    }

    /// Makes the mapping `len` long, wherever it fits.
    pub fn resize(&mut self, len: usize) {
        // SAFETY: our own mapping, of which no borrow is alive.
        let start = unsafe { libc::mremap(self.start.cast(), self.len, len, libc::MREMAP_MAYMOVE) };
        assert_ne!(start, libc::MAP_FAILED, "mremap: {}", io::Error::last_os_error());
        (self.start, self.len) = (start.cast(), len);
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and the last that is heard of it.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// How often each kind of signal came since [`count_signals`].
static CAME: AtomicU64 = AtomicU64::new(0);

/// Counts `signal` from now on instead of dying of it.
pub fn count_signals(signal: i32, flags: i32) {
    extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        CAME.fetch_add(1, Ordering::SeqCst);
    }
    handle(signal, count, flags);
}

/// How many counted signals came so far.
pub fn signals() -> u64 {
    CAME.load(Ordering::SeqCst)
}

/// What runs when a signal comes.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Has `handler` run when `signal` comes. It may touch atomics and its arguments, nothing else.
pub fn handle(signal: i32, handler: Handler, flags: i32) {
    // SAFETY: all zero is a valid sigaction; the handlers here touch nothing but atomics and their arguments.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(done, 0, "sigaction({signal}): {}", io::Error::last_os_error());
}

/// Waits for `pid` to stop or end: its raw status.
pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status is ours.
    let got = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert_eq!(got, pid, "waitpid: {}", io::Error::last_os_error());
    status
}

/// Sends this process the signal.
pub fn raise(signal: i32) {
    // SAFETY: a number.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

/// Has SIGALRM sent every `microseconds`.
pub fn alarm_every(microseconds: i64) {
    let each = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: the timer is ours.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
}
