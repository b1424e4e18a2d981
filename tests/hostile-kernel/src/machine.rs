//! What the VMM says of the machine: its memory, its devices, and where the attempts are to begin.

use crate::Protocol;
use crate::device::Device;
use crate::sys::read;

/// Where this kernel keeps rings and buffers: beyond its image, below the end of the smallest machine.
pub(crate) const WORK: u64 = 32 << 20;

const DEVICES: usize = 24;
/// What precedes a device's place on the command line: its size, `@`, its address, `:`, its interrupt.
const WORD: &[u8] = b"virtio_mmio.device=";

/// The machine that this kernel was booted on.
pub(crate) struct Machine {
    /// The first address behind the memory below 4 GiB.
    pub(crate) end: u64,
    /// The first attempt to make: what the initramfs begins with, in decimal.
    pub(crate) from: u64,
    /// The devices that are there.
    pub(crate) devices: [Option<Device>; DEVICES],
}

impl Machine {
    pub(crate) fn at(protocol: Protocol, information: u64) -> Self {
        let pointer = |at: u64| u64::from(read::<u32>(information + at));
        match protocol {
            // Documentation/arch/x86/boot.rst, zero-page.rst
            Protocol::Linux => {
                let memory = Memory {
                    at: information + 0x2d0,
                    count: read::<u8>(information + 0x1e8).into(),
                    step: 20,
                };
                Self::with(memory.end(), pointer(0x228), pointer(0x218))
            }
            // hvm_start_info
            Protocol::Pvh => {
                let memory = Memory { at: pointer(0x28), count: pointer(0x30), step: 24 };
                let module = pointer(0x10);
                let initramfs = if pointer(0x0c) == 0 { 0 } else { read::<u64>(module) };
                Self::with(memory.end(), pointer(0x18), initramfs)
            }
        }
    }

    fn with(end: u64, command_line: u64, initramfs: u64) -> Self {
        let mut devices = [const { None }; DEVICES];
        let mut count = 0;
        let mut at = command_line;
        while read::<u8>(at) != 0 && count < DEVICES {
            if WORD.iter().zip(at..).all(|(byte, at)| read::<u8>(at) == *byte) {
                at += WORD.len() as u64;
                while !matches!(read::<u8>(at), b'@' | 0) {
                    at += 1;
                }
                devices[count] = Some(Device::at(number(at + 1)));
                count += 1;
            }
            at += 1;
        }
        let from = if initramfs == 0 { 0 } else { number(initramfs) };
        Self { end, from, devices }
    }

    /// Whether a device is the first of its kind.
    pub(crate) fn is_first(&self, device: Device) -> bool {
        let mut alike = self.devices.iter().flatten().filter(|other| other.kind == device.kind);
        alike.next().is_some_and(|first| first.base == device.base)
    }
}

/// A memory map in memory: addresses, sizes and kinds.
struct Memory {
    at: u64,
    count: u64,
    step: u64,
}

impl Memory {
    fn end(&self) -> u64 {
        let entries = (0..self.count).map(|index| self.at + index * self.step);
        let usable = entries.filter(|entry| read::<u32>(entry + 16) == 1);
        let ends = usable.map(|entry| read::<u64>(entry) + read::<u64>(entry + 8));
        // libkrun counts one byte more than there is.
        ends.filter(|end| *end <= 1 << 32).max().unwrap_or(0) & !0xfff
    }
}

/// The number in memory at `at`: decimal, or hexadecimal behind `0x`.
fn number(mut at: u64) -> u64 {
    let radix = if read::<u8>(at + 1) == b'x' { 16 } else { 10 };
    if radix == 16 {
        at += 2;
    }
    let mut value: u64 = 0;
    while let Some(digit) = char::from(read::<u8>(at)).to_digit(radix) {
        value = value.wrapping_mul(u64::from(radix)).wrapping_add(u64::from(digit));
        at += 1;
    }
    value
}
