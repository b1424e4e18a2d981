//! The machine: how it is entered, its memory, its ports and its clock.
//!
//! One file has two entries. QEMU finds `enter_32` in a note, as PVH has it: protected mode without paging, what there
//! is to know behind `ebx`. libkrun finds `enter_64` in the ELF header, as Linux's 64-bit protocol has it: long mode,
//! the boot parameters behind `rsi`. Both lead to `begin` with all memory below 4 GiB where it is, in ring 3 with leave
//! to use ports: there is a KVM that interprets ring 0, and not all of it.
#![allow(unsafe_code, reason = "nothing else is on this machine")]

use core::arch::asm;

#[cfg(feature = "freestanding")]
core::arch::global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad enter_32

    .section .text.enter, "ax"
    .code32
enter_32:
    cli
    cld
    lgdt segments_at
    movl $0x620, %eax               # PAE, and what programs need for SSE
    movl %eax, %cr4
    movl $level_4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx          # EFER: long mode
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80000033, %eax          # paging, protected mode, a floating point unit
    movl %eax, %cr0
    movl $1, %edi
    movl %ebx, %esi
    ljmp $0x10, $enter

    .code64
    .global enter_64
enter_64:
    cli
    cld
    lgdt segments_at
    movl $0x620, %eax
    movq %rax, %cr4
    movl $level_4, %eax
    movq %rax, %cr3
    movl $0x80000033, %eax
    movq %rax, %cr0
    xorl %edi, %edi
enter:
    movl $stack_end, %esp
    pushq $0x2b
    pushq $stack_end
    pushq $0x3002                   # no interrupts; ports are ring 3's
    pushq $0x33
    pushq $enter_ring_3
    iretq
enter_ring_3:
    xorl %ebp, %ebp
    call begin
    ud2

    .section .text.memory, "ax"
    .global memcpy, memset, bcmp    # what the compiler makes of copies and comparisons
memcpy:
    movq %rdi, %rax
    movq %rdx, %rcx
    rep movsb
    ret
memset:
    movq %rdi, %r8
    movl %esi, %eax
    movq %rdx, %rcx
    rep stosb
    movq %r8, %rax
    ret
bcmp:
    xorl %eax, %eax
    movq %rdx, %rcx
    cmpq %rdi, %rdi                 # nothing is equal to nothing
    repe cmpsb
    setne %al
    ret

    .section .data.enter, "aw"
    .balign 4096
level_4:
    .quad level_3 + 7
    .fill 511, 8, 0
level_3:
    .quad level_2 + 0x0007, level_2 + 0x1007, level_2 + 0x2007, level_2 + 0x3007
    .fill 508, 8, 0
level_2:
    .set page, 0x87                 # 2 MiB at once, for all rings
    .rept 2048
    .quad page
    .set page, page + 0x200000
    .endr
segments:
    .quad 0, 0
    .quad 0x00af9b000000ffff        # 0x10: code
    .quad 0x00cf93000000ffff        # 0x18: data
    .quad 0
    .quad 0x00cff3000000ffff        # 0x28: data of ring 3
    .quad 0x00affb000000ffff        # 0x30: code of ring 3
segments_at:
    .word . - segments - 1
    .quad segments

    .section .bss.enter, "aw", @nobits
    .balign 16
    .fill 65536, 1, 0
stack_end:
"#,
    options(att_syntax)
);

/// Where both ways lead.
#[cfg(feature = "freestanding")]
#[unsafe(no_mangle)]
extern "C" fn begin(protocol: u64, information: u64) -> ! {
    crate::run(if protocol == 0 { crate::Protocol::Linux } else { crate::Protocol::Pvh }, information);
    crate::rest()
}

#[cfg(feature = "freestanding")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::console::say("\nhostile: a mistake of its own\n");
    crate::rest()
}

/// What the core library was built to call when it unwinds, which it does not here.
#[cfg(feature = "freestanding")]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// What memory and devices are read and written in: one access each.
pub(crate) trait Word: Copy {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Reads what is at a physical address.
pub(crate) fn read<T: Word>(at: u64) -> T {
    // SAFETY: every address below 4 GiB is mapped, and no object of this program's is where its callers read.
    unsafe { core::ptr::with_exposed_provenance::<T>(at as usize).read_volatile() }
}

/// Writes to a physical address.
pub(crate) fn write<T: Word>(at: u64, value: T) {
    // SAFETY: as for `read`.
    unsafe { core::ptr::with_exposed_provenance_mut::<T>(at as usize).write_volatile(value) }
}

/// Writes to a port.
pub(crate) fn out(port: u16, value: u8) {
    // SAFETY: ports are ring 3's, and no port reaches this program's memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// The processor's clock.
pub(crate) fn clock() -> u64 {
    // SAFETY: CR4 lets all rings read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Has memory be what it was written to be before a device is told of it.
pub(crate) fn fence() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}
