//! System calls as such.

use crate::sys::{Map, call};

pub fn unknown_are_refused() {
    for number in [1_000, 5_000, i64::from(u16::MAX)] {
        let error = call(number, [0; 6]).expect_err("a system call that there is none of");
        assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "number {number}");
    }
}

pub fn refuse_bad_addresses() {
    let read_only = Map::new(4096, false);
    read_only.protect(0, 4096, libc::PROT_READ);
    // Nothing mapped, the last page of all, in the kernel's half, and no address at all.
    for address in [8, usize::MAX - 8, 0xffff_8880_0000_0000, 0x0000_8000_0000_0000] {
        for (number, args) in [
            (libc::SYS_uname, [address, 0, 0, 0, 0, 0]),
            (libc::SYS_pipe2, [address, 0, 0, 0, 0, 0]),
            (libc::SYS_chdir, [address, 0, 0, 0, 0, 0]),
        ] {
            let error = call(number, args).expect_err("a bad address");
            assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "call {number} of {address:#x}");
        }
    }
    let error = call(libc::SYS_uname, [read_only.at(0), 0, 0, 0, 0, 0]).expect_err("a read-only buffer");
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}

#[cfg(target_arch = "x86_64")]
pub fn keep_registers() {
    for _ in 0..10_000 {
        assert!(crate::cpu::system_call_keeps_registers());
    }
}

/// What programs and container runtimes expect of a kernel, each by a call that it refuses for another reason than that
/// it does not know it.
pub fn interfaces_are_there() {
    let calls = [
        ("io_uring", libc::SYS_io_uring_setup),
        ("aio", libc::SYS_io_setup),
        ("seccomp", libc::SYS_seccomp),
        ("landlock", libc::SYS_landlock_create_ruleset),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("memfd", libc::SYS_memfd_create),
        ("membarrier", libc::SYS_membarrier),
        ("mqueue", libc::SYS_mq_open),
        ("shm", libc::SYS_shmget),
        ("fanotify", libc::SYS_fanotify_init),
        ("inotify", libc::SYS_inotify_add_watch),
        ("signalfd", libc::SYS_signalfd4),
        ("timerfd", libc::SYS_timerfd_create),
        ("epoll", libc::SYS_epoll_ctl),
        ("bpf", libc::SYS_bpf),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("kcmp", libc::SYS_kcmp),
        ("rseq", libc::SYS_rseq),
        ("keyctl", libc::SYS_keyctl),
        ("name_to_handle_at", libc::SYS_name_to_handle_at),
        ("setns", libc::SYS_setns),
    ];
    for (name, number) in calls {
        let refused = call(number, [usize::MAX; 6]).err().and_then(|e| e.raw_os_error());
        assert_ne!(refused, Some(libc::ENOSYS), "{name} is missing");
    }
}
