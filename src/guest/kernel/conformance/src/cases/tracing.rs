//! What debuggers and tracers do.

use crate::cpu;
use crate::sys::{call, fork, raise, wait};
use crate::traps::{ptrace, registers, set_registers};

const SIGTRAP_STOP: i32 = (libc::SIGTRAP << 8) | 0x7f;
const SYSCALL_STOP: i32 = ((libc::SIGTRAP | 0x80) << 8) | 0x7f;

/// A child that asks to be traced, stops, and then runs `program`.
fn traced(program: fn()) -> i32 {
    let child = fork(|| {
        ptrace(libc::PTRACE_TRACEME, 0, 0, 0).expect("PTRACE_TRACEME");
        raise(libc::SIGSTOP);
        program();
    })
    .expect("fork")
    .as_raw_pid();
    assert_eq!(wait(child), (libc::SIGSTOP << 8) | 0x7f);
    child
}

fn go(request: u32, child: i32) -> i32 {
    ptrace(request, child, 0, 0).expect("ptrace");
    wait(child)
}

fn end(child: i32) {
    assert_eq!(go(libc::PTRACE_CONT, child), 0, "the traced program ends well");
}

pub fn steps() {
    let child = traced(|| {
        for _ in 0..500 {
            let _ = call(libc::SYS_getppid, [0; 6]);
        }
    });
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..500 {
        assert_eq!(go(libc::PTRACE_SINGLESTEP, child), SIGTRAP_STOP);
        places.insert(registers(child).rip);
    }
    assert!(places.len() > 20, "500 steps saw {} places", places.len());
    end(child);
}

pub fn breakpoints() {
    let child = traced(cpu::breakpoint);
    assert_eq!(go(libc::PTRACE_CONT, child), SIGTRAP_STOP);
    let stopped = registers(child);
    // Behind the breakpoint, which is still there to read and to write over.
    let word = ptrace(libc::PTRACE_PEEKTEXT, child, usize::try_from(stopped.rip - 1).expect("address"), 0)
        .expect("PTRACE_PEEKTEXT");
    assert_eq!(word & 0xff, 0xcc);
    let nop = usize::from_ne_bytes(((word & !0xff) | 0x90).to_ne_bytes());
    ptrace(libc::PTRACE_POKETEXT, child, usize::try_from(stopped.rip - 1).expect("address"), nop)
        .expect("PTRACE_POKETEXT");
    let mut again = stopped;
    again.rip -= 1;
    set_registers(child, &again).expect("PTRACE_SETREGS");
    end(child);
}

pub fn system_calls() {
    let child = traced(|| {
        let answer = call(libc::SYS_getppid, [0; 6]).expect("getppid");
        assert_eq!(answer, 4711);
    });
    ptrace(libc::PTRACE_SETOPTIONS, child, 0, libc::PTRACE_O_TRACESYSGOOD as usize)
        .expect("PTRACE_SETOPTIONS");
    loop {
        assert_eq!(go(libc::PTRACE_SYSCALL, child), SYSCALL_STOP);
        let entered = registers(child).orig_rax;
        assert_eq!(go(libc::PTRACE_SYSCALL, child), SYSCALL_STOP);
        if entered == libc::SYS_getppid as u64 {
            let mut answered = registers(child);
            answered.rax = 4711;
            set_registers(child, &answered).expect("PTRACE_SETREGS");
            break;
        }
    }
    end(child);
}

/// A debugger that sends a program to an address that is none kills the program, not the kernel.
pub fn to_nowhere() {
    for nowhere in [0x0000_8000_0000_0000, 0x1234_5678_9abc_def0, 0xdead_0000_0000_0000] {
        let child = traced(|| ());
        let mut lost = registers(child);
        lost.rip = nowhere;
        if set_registers(child, &lost).is_err() {
            assert_eq!(go(libc::PTRACE_KILL, child) & 0x7f, libc::SIGKILL);
            continue;
        }
        assert_eq!(go(libc::PTRACE_CONT, child), (libc::SIGSEGV << 8) | 0x7f, "at {nowhere:#x}");
        assert_eq!(go(libc::PTRACE_KILL, child) & 0x7f, libc::SIGKILL);
    }
}
