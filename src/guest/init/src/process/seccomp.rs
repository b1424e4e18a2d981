//! The seccomp filter of every process in a box: the system calls that containers get.
//!
//! It allows what container runtimes allow by default, with one difference, which other runtimes' defaults make
//! too: what concerns namespaces and mounts (mount, unshare, setns, clone) is left to the kernel's own check of
//! capabilities, so that sandboxes made of user namespaces work inside a box. What holds untrusted code back is
//! the virtual machine; this filter takes away what code has no business with.
//!
//! A system call that is newer than the list gets `ENOSYS`, so that programs fall back; one that is refused
//! gets `EPERM`.

use libc::{c_long, sock_filter};

/// The newest system call that the list knows (mseal, Linux 6.10). From 424 on all architectures number alike.
const NEWEST: u32 = 462;

/// What is refused, of all that there is up to [`NEWEST`].
const REFUSED: &[c_long] = &[
    // The kernel itself: its modules, image, log, clock, accounting, swap.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    QUOTACTL_FD,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    // Large and often attacked.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys are not namespaced.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Files by handle pass every mount by.
    libc::SYS_open_by_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_fanotify_init,
    // Other processes' memory placement.
    libc::SYS_kcmp,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_get_mempolicy,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    SET_MEMPOLICY_HOME_NODE,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];
const QUOTACTL_FD: c_long = 443;
const SET_MEMPOLICY_HOME_NODE: c_long = 450;

/// What depends on the first argument: a socket to the host would pass the agent by, and of personalities only
/// those that weaken nothing are harmless.
const SOCKET_REFUSED: &[u32] = &[libc::AF_VSOCK.cast_unsigned()];
const PERSONALITIES: &[u32] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// What becomes of a range of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Plain(u32),
    /// `u32` where the first argument is one of these, else the other.
    Argument(&'static [u32], u32, u32),
}

/// The filter, as the kernel takes it.
///
/// A search tree over ranges: few steps for each call, and few for the kernel, which runs a new filter once for
/// every system call there is to find those that it always allows.
///
/// One for a box whose processes are not `confined` takes away only what leads to the host.
pub(crate) fn filter(confined: bool) -> Vec<sock_filter> {
    let load = |offset| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let mut program = vec![
        load(ARCHITECTURE),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, ARCH),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, KILL),
        load(NR),
    ];
    program.extend(tree(&ranges(confined)));
    program
}

fn verdict(nr: u32, confined: bool) -> Verdict {
    let is = |call: c_long| c_long::from(nr) == call;
    if !confined && !is(libc::SYS_socket) {
        Verdict::Plain(ALLOW)
    } else if nr > NEWEST {
        Verdict::Plain(UNKNOWN)
    } else if is(libc::SYS_socket) {
        Verdict::Argument(SOCKET_REFUSED, REFUSE, ALLOW)
    } else if is(libc::SYS_personality) {
        Verdict::Argument(PERSONALITIES, ALLOW, REFUSE)
    } else if REFUSED.iter().any(|call| is(*call)) {
        Verdict::Plain(REFUSE)
    } else {
        Verdict::Plain(ALLOW)
    }
}

/// Where each range begins, and what becomes of it, in order from 0 on. The last one has no end, which takes in
/// x32's numbers.
fn ranges(confined: bool) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for nr in 0..=NEWEST + 1 {
        let verdict = verdict(nr, confined);
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((nr, verdict));
        }
    }
    ranges
}

fn tree(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    let [.., _, _] = ranges else {
        return ranges.first().map(|(_, verdict)| leaf(*verdict)).unwrap_or_default();
    };
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (below, above) = (tree(low), tree(high));
    let over = u8::try_from(below.len()).unwrap_or(u8::MAX);
    debug_assert!(usize::from(over) == below.len(), "a jump reaches 255 instructions");
    let mut program = vec![op(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, over, 0, high[0].0)];
    program.extend(below);
    program.extend(above);
    program
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    let ret = |value| op(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    match verdict {
        Verdict::Plain(value) => vec![ret(value)],
        Verdict::Argument(values, then, otherwise) => {
            let mut program = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, FIRST_ARGUMENT)];
            for value in values {
                program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, *value));
                program.push(ret(then));
            }
            program.push(ret(otherwise));
            program
        }
    }
}

fn op(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter would say.
    fn run(program: &[sock_filter], nr: u32, arch: u32, argument: u32) -> u32 {
        let (mut at, mut register) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) & 0x07 {
                libc::BPF_LD => {
                    register = match step.k {
                        NR => nr,
                        ARCHITECTURE => arch,
                        FIRST_ARGUMENT => argument,
                        other => panic!("load of {other}"),
                    }
                }
                libc::BPF_RET => return step.k,
                _ => {
                    let jeq = u32::from(step.code) & 0xf0 == libc::BPF_JEQ;
                    let hit = if jeq { register == step.k } else { register >= step.k };
                    at += usize::from(if hit { step.jt } else { step.jf });
                }
            }
        }
    }

    #[test]
    fn every_call_gets_its_verdict() {
        let program = filter(true);
        for nr in 0..1000 {
            let expected = match verdict(nr, true) {
                Verdict::Plain(value) => value,
                Verdict::Argument(values, then, otherwise) => {
                    if values.contains(&7) {
                        then
                    } else {
                        otherwise
                    }
                }
            };
            assert_eq!(run(&program, nr, ARCH, 7), expected, "{nr}");
        }
        let nr = |call: c_long| u32::try_from(call).unwrap();
        for call in [
            libc::SYS_read,
            libc::SYS_execve,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_unshare,
        ] {
            assert_eq!(run(&program, nr(call), ARCH, 0), ALLOW, "{call}");
        }
        assert_eq!(run(&program, nr(libc::SYS_socket), ARCH, 40), REFUSE);
        assert_eq!(run(&program, nr(libc::SYS_socket), ARCH, 2), ALLOW);
        assert_eq!(run(&program, nr(libc::SYS_personality), ARCH, 0x0040_0000), REFUSE);
        assert_eq!(run(&program, nr(libc::SYS_read), 0x4000_0003, 0), KILL);
        assert_eq!(run(&program, 0x4000_0000, ARCH, 0), UNKNOWN, "x32");
    }

    #[test]
    fn without_confinement_the_way_to_the_host_stays_closed() {
        let program = filter(false);
        let nr = |call: c_long| u32::try_from(call).unwrap();
        assert_eq!(run(&program, nr(libc::SYS_socket), ARCH, 40), REFUSE);
        assert_eq!(run(&program, nr(libc::SYS_socket), ARCH, 2), ALLOW);
        for call in [libc::SYS_bpf, libc::SYS_io_uring_setup, libc::SYS_keyctl] {
            assert_eq!(run(&program, nr(call), ARCH, 0), ALLOW, "{call}");
        }
    }

    #[test]
    fn the_filter_stays_small_and_flat() {
        let program = filter(true);
        assert!(program.len() < 200, "{}", program.len());
    }
}
