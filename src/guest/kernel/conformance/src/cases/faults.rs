//! Faults that a program is told of and survives.

use crate::cpu;
use crate::sys::Map;
use crate::traps::{Fault, alternate_stack, recover_from, take_fault};

const PAGE: usize = 4096;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// The signal that `instruction` raised.
fn signal_of(name: &str, instruction: fn()) -> i32 {
    instruction();
    take_fault().unwrap_or_else(|| panic!("{name} raised nothing")).signal
}

pub fn of_memory() {
    recover_from(libc::SIGSEGV);
    recover_from(libc::SIGBUS);
    let map = Map::new(2 * PAGE, false);
    map.protect(0, PAGE, libc::PROT_READ);
    map.protect(PAGE, PAGE, libc::PROT_NONE);
    let segv = |code, at: usize| Some(Fault { signal: libc::SIGSEGV, code, address: at as u64 });

    assert_eq!((cpu::load(map.at(5)), take_fault()), (0, None));
    cpu::store(map.at(5));
    assert_eq!(take_fault(), segv(SEGV_ACCERR, map.at(5)));
    cpu::load(map.at(PAGE + 7));
    assert_eq!(take_fault(), segv(SEGV_ACCERR, map.at(PAGE + 7)));
    cpu::load(8);
    assert_eq!(take_fault(), segv(SEGV_MAPERR, 8));
    cpu::jump(map.at(0));
    assert_eq!(take_fault(), segv(SEGV_ACCERR, map.at(0)), "data is not code");
    // Not an address of this processor: told without one.
    cpu::load(0x0000_8000_0000_0000);
    assert_eq!(take_fault().map(|fault| fault.signal), Some(libc::SIGSEGV));
}

pub fn of_instructions() {
    for signal in [libc::SIGSEGV, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGBUS] {
        recover_from(signal);
    }
    assert_eq!(signal_of("div", cpu::divide_by_zero), libc::SIGFPE);
    assert_eq!(signal_of("ud2", cpu::undefined), libc::SIGILL);
    assert_eq!(signal_of("int3", cpu::breakpoint), libc::SIGTRAP);
    assert_eq!(signal_of("the trap flag", cpu::step), libc::SIGTRAP);
    assert_eq!(signal_of("a bad selector", cpu::load_bad_selector), libc::SIGSEGV);
}

pub fn of_privilege() {
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGBUS] {
        recover_from(signal);
    }
    assert_eq!(signal_of("hlt", cpu::halt), libc::SIGSEGV);
    assert_eq!(signal_of("mov to cr3", cpu::load_page_table_root), libc::SIGSEGV);
    assert_eq!(signal_of("cli", cpu::interrupts_off), libc::SIGSEGV);
}

/// A stack overflow is told on another stack.
pub fn on_a_full_stack() {
    let len = 64 * 1024;
    let stack = Map::new(len, false);
    alternate_stack(&stack, len);
    recover_from(libc::SIGSEGV);
    let near = 0_u8;
    let here = (&raw const near).addr();
    // Below what the stack may grow to.
    cpu::store(here - 64 * 1024 * 1024);
    assert_eq!(take_fault().map(|fault| fault.signal), Some(libc::SIGSEGV));
}

pub fn many() {
    recover_from(libc::SIGSEGV);
    recover_from(libc::SIGILL);
    for turn in 0..5_000 {
        cpu::load(8 + turn % 8);
        assert_eq!(take_fault().map(|fault| fault.address), Some(8 + turn as u64 % 8));
        cpu::undefined();
        assert_eq!(take_fault().map(|fault| fault.signal), Some(libc::SIGILL));
    }
}
