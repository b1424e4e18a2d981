//! Which system calls a VMM may make (seccomp(2)).
//!
//! The list is libkrun's need: memory, threads, events, the disks that are open, UNIX sockets, and KVM. Everything
//! else is refused with `EPERM`, which a library that only tries survives. `clone3` hides its flags in memory,
//! where a filter cannot see them, so it does not exist, and callers fall back to `clone`.

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// linux/kvm.h: `KVMIO`, in the second byte of a request.
const KVM: u64 = 0xae00;

/// What the VMM and the file server both need, which is harmless whatever its arguments.
const BOTH: &[i64] = &[
    // files that are open
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_fcntl,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fallocate,
    libc::SYS_close,
    // memory
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // threads and time; the other filter has the say on `clone3`
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    // sockets that are connected
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_shutdown,
];

/// What else the VMM needs.
const VMM: &[i64] = &[
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_dup,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    // events
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // UNIX sockets, made by calls that are looked at below
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// The older forms of some of them.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

/// What else the file server needs: names in folders that are open.
const FILES: &[i64] = &[
    libc::SYS_pwritev2,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_getxattr,
    libc::SYS_setxattr,
    libc::SYS_listxattr,
    libc::SYS_removexattr,
    libc::SYS_umask,
    libc::SYS_geteuid,
    libc::SYS_getegid,
];

/// Leaves the calls that the VMM needs.
pub(super) fn restrict() -> Result<(), Error> {
    apply(rules()?)
}

/// Leaves the calls that the file server needs.
pub(super) fn restrict_files() -> Result<(), Error> {
    apply(both(FILES.iter())?)
}

fn apply(rules: Rules) -> Result<(), Error> {
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    let denied = |code: i32| SeccompAction::Errno(code.unsigned_abs());
    let allowed = SeccompFilter::new(rules, denied(libc::EPERM), SeccompAction::Allow, target)?;
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let absent = SeccompFilter::new(clone3, SeccompAction::Allow, denied(libc::ENOSYS), target)?;
    for filter in [absent, allowed] {
        apply_filter(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// What an installed VMM has no business with, beyond what its own sandbox keeps it from.
const NOT_FOR_PROGRAMS: &[i64] = &[
    libc::SYS_connect,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
];

/// A filter for an installed VMM, to be applied by the process that becomes it: sockets of its own only to programs of
/// this host, and none of what it has no business with.
pub(super) fn for_program() -> Result<BpfProgram, Error> {
    let mut rules: Rules = NOT_FOR_PROGRAMS.iter().map(|call| (*call, Vec::new())).collect();
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    rules.insert(libc::SYS_socket, vec![rule(0, SeccompCmpOp::Ne, unix)?]);
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(BpfProgram::try_from(SeccompFilter::new(rules, SeccompAction::Allow, denied, target)?)?)
}

fn rules() -> Result<Rules, Error> {
    let mut rules = both(VMM.iter().chain(OLD))?;
    let number = |value: i32| u64::from(value.unsigned_abs());
    rules.insert(libc::SYS_openat, vec![masked(2, number(libc::O_CREAT | libc::O_TRUNC), 0)?]);
    rules.insert(libc::SYS_socket, vec![equal(0, number(libc::AF_UNIX))?]);
    // KVM, and what asks whether a descriptor is a terminal or makes it not wait.
    let ioctls = [equal(1, libc::TCGETS)?, equal(1, libc::FIONBIO)?, masked(1, 0xff00, KVM)?];
    rules.insert(libc::SYS_ioctl, ioctls.into());
    Ok(rules)
}

/// [`BOTH`] and `more`; memory is never made into code, and there are threads, no processes.
fn both<'a>(more: impl Iterator<Item = &'a i64>) -> Result<Rules, Error> {
    let mut rules: Rules = BOTH.iter().chain(more).map(|call| (*call, Vec::new())).collect();
    let number = |value: i32| u64::from(value.unsigned_abs());
    let (exec, thread) = (number(libc::PROT_EXEC), number(libc::CLONE_THREAD));
    rules.extend([
        (libc::SYS_mmap, vec![masked(2, exec, 0)?]),
        (libc::SYS_mprotect, vec![masked(2, exec, 0)?]),
        (libc::SYS_clone, vec![masked(0, thread, thread)?]),
        (libc::SYS_tgkill, vec![equal(0, u64::from(std::process::id()))?]),
        (libc::SYS_prctl, vec![equal(0, number(libc::PR_SET_NAME))?]),
    ]);
    Ok(rules)
}

fn equal(argument: u8, value: u64) -> Result<SeccompRule, Error> {
    rule(argument, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, Error> {
    rule(argument, SeccompCmpOp::MaskedEq(mask), value)
}

/// The kernel looks at the lower half of these arguments only, and so does this.
fn rule(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, Error> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}
