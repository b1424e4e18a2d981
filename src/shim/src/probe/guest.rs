//! The throw-away VM: 64 KiB of memory, long mode, one loop.
#![allow(unsafe_code, reason = "a VM's memory is mapped and handed to KVM")]

use kvm_bindings::{kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::time::{Duration, Instant};

const MEMORY: usize = 64 << 10;
/// The page tables: one entry each, down to one large page over everything, and one with nothing behind it.
const TABLES: [usize; 3] = [0x1000, 0x2000, 0x3000];
const CODE: u64 = 0x4000;
/// Writing here leaves the VM: there is no memory.
const NOWHERE: u32 = 2 << 20;
const LOOPS: u32 = 10_000;

/// A privilege level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    Zero,
    Three,
}

/// A measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) instructions: u32,
    pub(super) took: Duration,
}

/// The VM. Its memory outlives it: fields drop in order.
pub(super) struct VirtualMachine {
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: Memory,
}

impl VirtualMachine {
    pub(super) fn new() -> Result<Self, String> {
        let failed = |e: kvm_ioctls::Error| format!("no VM can be made: {e}");
        let kvm = Kvm::new().map_err(failed)?;
        let vm = kvm.create_vm().map_err(failed)?;
        // Only old Intel processors need it; the others may refuse it.
        let _ = vm.set_tss_address(0xfffb_d000);
        let memory = Memory::new().map_err(|e| format!("no memory for a VM: {e}"))?;
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr: memory.0 as u64,
        };
        // SAFETY: the memory is mapped, of this size, and outlives the VM.
        unsafe { vm.set_user_memory_region(region) }.map_err(failed)?;
        let vcpu = vm.create_vcpu(0).map_err(failed)?;
        Ok(Self { vcpu, _vm: vm, _memory: memory })
    }

    /// Runs the loop once.
    pub(super) fn count(&mut self, ring: Ring) -> Result<Run, String> {
        let failed = |e: kvm_ioctls::Error| format!("the probe's vCPU cannot be set up: {e}");
        let level: u8 = if ring == Ring::Zero { 0 } else { 3 };
        let mut sregs = self.vcpu.get_sregs().map_err(failed)?;
        let code = kvm_segment {
            selector: 0x08 | u16::from(level),
            limit: u32::MAX,
            type_: 0xb,
            present: 1,
            s: 1,
            g: 1,
            l: 1,
            dpl: level,
            ..Default::default()
        };
        let data = kvm_segment { selector: 0x10 | u16::from(level), type_: 3, l: 0, db: 1, ..code };
        sregs.cs = code;
        (sregs.ds, sregs.es, sregs.ss) = (data, data, data);
        sregs.cr3 = TABLES[0] as u64;
        // PAE; protected mode with paging; long mode enabled and active.
        sregs.cr4 = 1 << 5;
        sregs.cr0 = 1 << 31 | 1 << 5 | 1 << 4 | 1;
        sregs.efer = 1 << 8 | 1 << 10;
        self.vcpu.set_sregs(&sregs).map_err(failed)?;
        let regs = kvm_regs { rip: CODE, rflags: 2, rcx: u64::from(LOOPS), ..Default::default() };
        self.vcpu.set_regs(&regs).map_err(failed)?;
        let begin = Instant::now();
        match self.vcpu.run() {
            Ok(VcpuExit::MmioWrite(at, _)) if at == u64::from(NOWHERE) => {
                Ok(Run { instructions: 2 * LOOPS, took: begin.elapsed() })
            }
            Ok(other) => Err(format!("a probe in ring {level} ended oddly: {other:?}")),
            Err(e) => Err(format!("a probe in ring {level} does not run: {e}")),
        }
    }
}

/// The VM's memory, with page tables and code in it.
struct Memory(*mut libc::c_void);

impl Memory {
    fn new() -> std::io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), MEMORY, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let memory = Self(at);
        // Present, writable, for all rings; the last level maps 2 MiB at once.
        let (table, page) = (0x07, 0x87);
        memory.put(TABLES[0], &(TABLES[1] as u64 | table).to_le_bytes());
        memory.put(TABLES[1], &(TABLES[2] as u64 | table).to_le_bytes());
        memory.put(TABLES[2], &u64::to_le_bytes(page));
        memory.put(TABLES[2] + 8, &(u64::from(NOWHERE) | page).to_le_bytes());
        // again: dec ecx; jnz again; mov [NOWHERE], al
        memory.put(0x4000, &[0xff, 0xc9, 0x75, 0xfc, 0x88, 0x04, 0x25]);
        memory.put(0x4007, &NOWHERE.to_le_bytes());
        Ok(memory)
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= MEMORY);
        // SAFETY: within the mapping, as asserted, and no guest runs yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.cast::<u8>().add(at), bytes.len()) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size; the VM that used it is closed.
        unsafe { libc::munmap(self.0, MEMORY) };
    }
}
