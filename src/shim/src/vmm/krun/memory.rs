//! The guest's memory on huge pages.
//!
//! In pieces of 4 KiB KVM has to be asked for each of them the first time that the guest touches it: 11,000 times until a
//! box is ready, which is a third of its start where that is dear. libkrun offers no way to ask for huge pages, and its
//! call does not return. But it maps the memory by mmap(2), and a program's own function of that name stands before the
//! C library's (ld.so(8)); so this is it, for the whole program.
#![allow(unsafe_code, reason = "it is a C function that others call")]

use libc::{c_int, c_long, c_void, off_t, size_t};
use std::ptr;

/// What the kernel makes huge pages of (Documentation/admin-guide/mm/transhuge.rst).
const HUGE: size_t = 2 << 20;
/// How libkrun maps a guest's memory, and the least that a box has of it.
const GUEST: c_int = libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_PRIVATE;
const LEAST: size_t = 32 << 20;

/// As mmap(2). A guest's memory begins where a huge page can, and is advised to be of such pages.
#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    at: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: off_t,
) -> *mut c_void {
    let map = |length: size_t| -> *mut c_void {
        let arguments = (c_long::from(protection), c_long::from(flags), c_long::from(file));
        let (protection, flags, file) = arguments;
        // SAFETY: what the caller of mmap(2) answers for.
        let address = unsafe { libc::syscall(libc::SYS_mmap, at, length, protection, flags, file, offset) };
        ptr::with_exposed_provenance_mut(usize::from_ne_bytes(address.to_ne_bytes()))
    };
    let (true, true, Some(room)) =
        (at.is_null() && flags == GUEST, length >= LEAST, length.checked_add(HUGE))
    else {
        return map(length);
    };
    let mapped = map(room);
    if mapped == libc::MAP_FAILED {
        return mapped;
    }
    let before = mapped.align_offset(HUGE);
    // SAFETY: all of it lies within what was mapped just now, which nobody knows of yet; where the advice is not taken,
    // the memory is as good as any.
    unsafe {
        let memory = mapped.byte_add(before);
        if before > 0 {
            libc::munmap(mapped, before);
        }
        libc::munmap(memory.byte_add(length), HUGE - before);
        libc::madvise(memory, length, libc::MADV_HUGEPAGE);
        memory
    }
}
