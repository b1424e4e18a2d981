//! Faults of this process, and control over those that it traces.

use crate::sys::{Map, handle};
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

static FAULT: AtomicI32 = AtomicI32::new(0);
static FAULT_CODE: AtomicI32 = AtomicI32::new(0);
static FAULT_ADDRESS: AtomicU64 = AtomicU64::new(0);

/// A fault that a program was told of.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
    pub signal: i32,
    /// Its `si_code`.
    pub code: i32,
    /// Its `si_addr`.
    pub address: u64,
}

/// Makes a `signal` that an instruction raises go on at the instruction's recovery address, which [`crate::cpu`] keeps
/// in a register for this.
pub fn recover_from(signal: i32) {
    handle(signal, recover, libc::SA_ONSTACK | libc::SA_NODEFER);
}

/// The fault since this was last called.
pub fn take_fault() -> Option<Fault> {
    let signal = FAULT.swap(0, Ordering::SeqCst);
    (signal != 0).then(|| Fault {
        signal,
        code: FAULT_CODE.load(Ordering::SeqCst),
        address: FAULT_ADDRESS.load(Ordering::SeqCst),
    })
}

extern "C" fn recover(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes both, and nobody else knows them yet.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    FAULT_CODE.store(info.si_code, Ordering::SeqCst);
    // SAFETY: faults carry an address.
    FAULT_ADDRESS.store(unsafe { info.si_addr() }.addr() as u64, Ordering::SeqCst);
    FAULT.store(signal, Ordering::SeqCst);
    crate::cpu::go_on(context);
}

/// Handlers that ask for it run on `stack` from now on.
pub fn alternate_stack(stack: &Map, len: usize) {
    let wanted = libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(stack.at(0)),
        ss_flags: 0,
        ss_size: len,
    };
    // SAFETY: callers keep the mapping for as long as the thread lives.
    let done = unsafe { libc::sigaltstack(&raw const wanted, std::ptr::null_mut()) };
    assert_eq!(done, 0, "sigaltstack: {}", io::Error::last_os_error());
}

/// ptrace(2). What it reads is its result.
pub fn ptrace(request: u32, pid: i32, address: usize, data: usize) -> io::Result<i64> {
    // SAFETY: addresses are those of the traced process, but for the buffers that callers pass as data.
    let result = unsafe {
        *libc::__errno_location() = 0;
        libc::ptrace(request, pid, address, data)
    };
    let error = io::Error::last_os_error();
    if result == -1 && error.raw_os_error() != Some(0) { Err(error) } else { Ok(result) }
}

/// The general registers of the stopped process `pid`.
pub fn registers(pid: i32) -> libc::user_regs_struct {
    // SAFETY: plain numbers, all of which ptrace fills in.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers).addr()).expect("PTRACE_GETREGS");
    registers
}

/// Sets them.
pub fn set_registers(pid: i32, registers: &libc::user_regs_struct) -> io::Result<()> {
    ptrace(libc::PTRACE_SETREGS, pid, 0, std::ptr::from_ref(registers).addr()).map(drop)
}
