//! A process whose main thread makes the system calls that a test wants: what its confinement lets it do, from inside.
//!
//! It is of no use for anything else afterwards.
#![allow(unsafe_code, reason = "ptrace(2) has no safe form")]

use std::io;
use std::mem::zeroed;

/// `syscall`
const INSTRUCTION: u64 = 0x050f;

/// A process that is traced.
pub struct Puppet {
    pid: i32,
    registers: libc::user_regs_struct,
}

/// What became of a system call.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// It returned this.
    Back(i64),
    /// It was refused with this error number.
    Refused(i32),
    /// The process was killed for it.
    Dead,
}

impl Came {
    /// Whether the process did not get what it asked for, for lack of rights.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(libc::EPERM | libc::EACCES) | Self::Dead)
    }
}

impl Puppet {
    /// Takes hold of the main thread of `pid`, wherever it waits. It must be in a system call, as one that waits is.
    pub fn of(pid: i32) -> Self {
        ptrace(libc::PTRACE_ATTACH, pid, 0, 0).unwrap();
        assert!(stopped(pid), "{pid} ended");
        // SAFETY: plain numbers, all of which ptrace fills in.
        let mut registers: libc::user_regs_struct = unsafe { zeroed() };
        ptrace(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers).addr()).unwrap();
        // SAFETY: one word of the traced process.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, pid, registers.rip - 2, 0) };
        assert_eq!(word.cast_unsigned() & 0xffff, INSTRUCTION, "{pid} does not wait in a system call");
        Self { pid, registers }
    }

    /// Makes the system call `number`, whose arguments are numbers.
    pub fn call(&mut self, number: i64, arguments: [u64; 3]) -> Came {
        let mut registers = self.registers;
        registers.rip -= 2;
        registers.rax = number.cast_unsigned();
        // What was interrupted is not taken up again.
        registers.orig_rax = u64::MAX;
        [registers.rdi, registers.rsi, registers.rdx] = arguments;
        registers.r10 = 0;
        ptrace(libc::PTRACE_SETREGS, self.pid, 0, (&raw const registers).addr()).unwrap();
        ptrace(libc::PTRACE_SINGLESTEP, self.pid, 0, 0).unwrap();
        if !stopped(self.pid) {
            return Came::Dead;
        }
        ptrace(libc::PTRACE_GETREGS, self.pid, 0, (&raw mut registers).addr()).unwrap();
        match registers.rax.cast_signed() {
            result @ -4095..=-1 => Came::Refused(i32::try_from(-result).unwrap()),
            result => Came::Back(result),
        }
    }

    /// Puts `text` with its NUL where the process has room for it: far below its stack pointer.
    pub fn text(&self, text: &str) -> u64 {
        let at = self.registers.rsp - 4096;
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len() / 8 * 8 + 8, 0);
        for (n, word) in bytes.chunks_exact(8).enumerate() {
            let word = usize::from_ne_bytes(word.try_into().unwrap());
            ptrace(libc::PTRACE_POKEDATA, self.pid, usize::try_from(at).unwrap() + n * 8, word).unwrap();
        }
        at
    }
}

/// Waits until the thread has stopped. False: the process has ended, or is about to.
fn stopped(pid: i32) -> bool {
    let mut status = 0;
    // SAFETY: the status is ours.
    let got = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    got == pid && libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) != libc::SIGSYS
}

fn ptrace(request: u32, pid: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: addresses are those of the traced process, but for the registers that callers pass as data.
    match unsafe { libc::ptrace(request, pid, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
