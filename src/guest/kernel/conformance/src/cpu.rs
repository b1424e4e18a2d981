//! Single instructions that a compiler would not write.
//!
//! An instruction that faults goes on behind itself: its address for that is in a register while it runs, where the
//! signal handler finds it.

use std::arch::asm;

/// Lets the program that faulted with `context` go on behind the instruction.
pub fn go_on(context: &mut libc::ucontext_t) {
    let registers = &mut context.uc_mcontext.gregs;
    let trap_flag = 0x100;
    registers[libc::REG_EFL as usize] &= !trap_flag;
    registers[libc::REG_RIP as usize] = registers[libc::REG_R15 as usize];
}

/// One instruction that may fault.
macro_rules! faulting {
    ($($text:literal),+ $(, $name:ident = $kind:ident($class:tt) $value:expr)*) => {
        // SAFETY: the instruction touches nothing that the compiler knows of, or faults and is skipped; the handler
        // runs on this stack below the red zone.
        unsafe {
            asm!("lea r15, [rip + 22f]", $($text,)+ "22:", $($name = $kind($class) $value,)* out("r15") _)
        }
    };
}

/// Reads the byte at `address`.
pub fn load(address: usize) -> u8 {
    let byte: u8;
    faulting!("xor {byte}, {byte}", "mov {byte}, [{at}]", byte = out(reg_byte) byte, at = in(reg) address);
    byte
}

/// Writes a byte to `address`, which must be one that faults, or one of a mapping made for this.
pub fn store(address: usize) {
    faulting!("mov byte ptr [{at}], 1", at = in(reg) address);
}

/// Goes on at `address`, which must not be code.
pub fn jump(address: usize) {
    faulting!("jmp {at}", at = in(reg) address);
}

/// Divides by zero.
pub fn divide_by_zero() {
    // SAFETY: as for other faulting instructions; the registers are named.
    unsafe {
        asm!("lea r15, [rip + 22f]", "xor ecx, ecx", "mov eax, 1", "xor edx, edx", "div ecx", "22:",
             out("r15") _, out("eax") _, out("ecx") _, out("edx") _);
    }
}

/// An instruction that there is none of.
pub fn undefined() {
    faulting!("ud2");
}

/// A debugger's breakpoint.
pub fn breakpoint() {
    faulting!("int3");
}

/// Has the processor trap after one more instruction.
pub fn step() {
    faulting!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop");
}

/// Halts the processor, if it lets programs.
pub fn halt() {
    faulting!("hlt");
}

/// Turns interrupts off, if the processor lets programs, and gives them the time to be missed.
pub fn interrupts_off() {
    faulting!("cli");
}

/// Loads the page-table root with what it must not be.
pub fn load_page_table_root() {
    faulting!("mov cr3, {root}", root = in(reg) 0_usize);
}

/// Loads a segment register with a selector of nothing.
pub fn load_bad_selector() {
    faulting!("mov gs, {selector:x}", selector = in(reg) 0xfff3_u32);
}

/// Returns from an interrupt to an address that is none.
pub fn return_to_nowhere() {
    // SAFETY: the program does not go on from here, or faults.
    unsafe {
        asm!("mov rax, rsp", "push 0x2b", "push rax", "pushfq", "push 0x33", "push {at}", "iretq",
             at = in(reg) 0x8000_0000_0000_usize, out("rax") _);
    }
}

/// Makes a system call that does nothing with every register that it must not change holding a pattern: whether
/// all of them came back, and whether the scratch registers hold what they should.
pub fn system_call_keeps_registers() -> bool {
    let mut got = [0_u64; 10];
    let flags: u64;
    // SAFETY: getppid touches no memory; all registers written are named; rbx and rbp are put back.
    unsafe {
        asm!(
            "push rbx", "push rbp",
            "mov rbx, 0x1111111111111111", "mov rbp, 0x2222222222222222",
            "mov r8, 0x3333333333333333", "mov r9, 0x4444444444444444",
            "mov r10, 0x5555555555555555", "mov r12, 0x6666666666666666",
            "mov r13, 0x7777777777777777", "mov r15, 0x8888888888888888",
            "mov rdx, 0x9999999999999999", "mov rsi, 0x1212121212121212",
            "mov eax, {number}", "stc", "syscall", "pushfq", "pop r11",
            "mov [r14], rbx", "mov [r14 + 8], rbp", "mov [r14 + 16], r8", "mov [r14 + 24], r9",
            "mov [r14 + 32], r10", "mov [r14 + 40], r12", "mov [r14 + 48], r13", "mov [r14 + 56], r15",
            "mov [r14 + 64], rdx", "mov [r14 + 72], rsi",
            "pop rbp", "pop rbx",
            number = const libc::SYS_getppid, in("r14") got.as_mut_ptr(),
            out("rax") _, out("rcx") _, out("r11") flags, out("rdx") _, out("rsi") _, out("r8") _, out("r9") _,
            out("r10") _, out("r12") _, out("r13") _, out("r15") _,
        );
    }
    let kept = got
        .iter()
        .zip([0x11_u8, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0x12])
        .all(|(got, byte)| *got == u64::from_ne_bytes([byte; 8]));
    let carry = 1;
    kept && flags & carry != 0
}

/// Fills the vector registers, and the control word, with a pattern of `seed`, spins for `turns`, and compares.
pub fn vectors_survive(seed: u64, turns: u64) -> bool {
    let wanted: [u64; 64] =
        std::array::from_fn(|i| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i as u64));
    let mut got = [0_u64; 64];
    let rounding = u32::try_from(seed % 4).unwrap_or(0) << 13 | 0x1f80;
    let (mut control, mut was) = (0_u32, 0_u32);
    // SAFETY: reads and writes the arrays only; the control word is put back before anything computes with it.
    unsafe {
        if std::arch::is_x86_feature_detected!("avx") {
            asm!(
                "stmxcsr [{was}]", "ldmxcsr [{rounding}]",
                "vmovdqu ymm0, [{w}]", "vmovdqu ymm1, [{w}+32]", "vmovdqu ymm2, [{w}+64]", "vmovdqu ymm3, [{w}+96]",
                "vmovdqu ymm4, [{w}+128]", "vmovdqu ymm5, [{w}+160]", "vmovdqu ymm6, [{w}+192]", "vmovdqu ymm7, [{w}+224]",
                "vmovdqu ymm8, [{w}+256]", "vmovdqu ymm9, [{w}+288]", "vmovdqu ymm10, [{w}+320]", "vmovdqu ymm11, [{w}+352]",
                "vmovdqu ymm12, [{w}+384]", "vmovdqu ymm13, [{w}+416]", "vmovdqu ymm14, [{w}+448]", "vmovdqu ymm15, [{w}+480]",
                "2:", "dec {turns}", "jnz 2b",
                "vmovdqu [{g}], ymm0", "vmovdqu [{g}+32], ymm1", "vmovdqu [{g}+64], ymm2", "vmovdqu [{g}+96], ymm3",
                "vmovdqu [{g}+128], ymm4", "vmovdqu [{g}+160], ymm5", "vmovdqu [{g}+192], ymm6", "vmovdqu [{g}+224], ymm7",
                "vmovdqu [{g}+256], ymm8", "vmovdqu [{g}+288], ymm9", "vmovdqu [{g}+320], ymm10", "vmovdqu [{g}+352], ymm11",
                "vmovdqu [{g}+384], ymm12", "vmovdqu [{g}+416], ymm13", "vmovdqu [{g}+448], ymm14", "vmovdqu [{g}+480], ymm15",
                "stmxcsr [{control}]", "ldmxcsr [{was}]", "vzeroupper",
                w = in(reg) wanted.as_ptr(), g = in(reg) got.as_mut_ptr(), turns = inout(reg) turns => _,
                was = in(reg) &raw mut was, rounding = in(reg) &raw const rounding, control = in(reg) &raw mut control,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            );
            return got == wanted && control & 0xffc0 == rounding & 0xffc0;
        }
        asm!(
            "stmxcsr [{was}]", "ldmxcsr [{rounding}]",
            "movdqu xmm0, [{w}]", "movdqu xmm7, [{w}+16]", "movdqu xmm15, [{w}+32]",
            "2:", "dec {turns}", "jnz 2b",
            "movdqu [{g}], xmm0", "movdqu [{g}+16], xmm7", "movdqu [{g}+32], xmm15",
            "stmxcsr [{control}]", "ldmxcsr [{was}]",
            w = in(reg) wanted.as_ptr(), g = in(reg) got.as_mut_ptr(), turns = inout(reg) turns => _,
            was = in(reg) &raw mut was, rounding = in(reg) &raw const rounding, control = in(reg) &raw mut control,
            out("xmm0") _, out("xmm7") _, out("xmm15") _,
        );
    }
    got[..6] == wanted[..6] && control & 0xffc0 == rounding & 0xffc0
}

/// Whether programs find AVX-512 here.
pub fn has_wide_vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512bw")
}

/// Does with the 32 vector registers of AVX-512 and its mask registers what [`vectors_survive`] does with the others.
pub fn wide_vectors_survive(seed: u64, turns: u64) -> bool {
    let wanted: [u64; 264] =
        std::array::from_fn(|i| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i as u64));
    let mut got = [0_u64; 264];
    // SAFETY: reads and writes the arrays only, each register at its own place in them.
    unsafe {
        asm!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "vmovdqu64 zmm\\n, [{w} + 64 * \\n]",
            ".endr",
            ".irp n, 0,1,2,3,4,5,6,7",
            "kmovq k\\n, [{w} + 2048 + 8 * \\n]",
            ".endr",
            "2:", "dec rcx", "jnz 2b",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "vmovdqu64 [{g} + 64 * \\n], zmm\\n",
            ".endr",
            ".irp n, 0,1,2,3,4,5,6,7",
            "kmovq [{g} + 2048 + 8 * \\n], k\\n",
            ".endr",
            "vzeroupper",
            w = in(reg) wanted.as_ptr(), g = in(reg) got.as_mut_ptr(), inout("rcx") turns => _,
            clobber_abi("sysv64"),
        );
    }
    got == wanted
}

/// Whether the processor has tiles (AMX), whatever programs may do with them.
pub fn has_tiles() -> bool {
    let tiles = 1 << 24;
    std::arch::x86_64::__cpuid(0).eax >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & tiles != 0
}

/// Sets tiles up and fills one with `wanted`, if the processor lets programs.
pub fn load_tile(wanted: &[u64; 128]) {
    #[repr(align(64))]
    struct Config([u8; 64]);
    // Palette 1, and eight tiles of 16 rows of 64 bytes.
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for tile in 0..8 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    faulting!("ldtilecfg [{at}]", at = in(reg) &raw const config);
    faulting!("tileloadd tmm0, [{at} + {row}]", at = in(reg) wanted.as_ptr(), row = in(reg) 64_usize);
}

/// Reads the tile that [`load_tile`] filled, if there still is one.
pub fn store_tile(got: &mut [u64; 128]) {
    faulting!("tilestored [{at} + {row}], tmm0", at = in(reg) got.as_mut_ptr(), row = in(reg) 64_usize);
}

/// The 8 bytes at the base of the GS segment.
pub fn gs_word() -> u64 {
    let word;
    // SAFETY: callers point the segment at memory of theirs first.
    unsafe { asm!("mov {}, gs:[0]", out(reg) word, options(readonly, nostack)) };
    word
}
