//! A virtio device behind its registers in memory (virtio 1.2, 4.2), of both versions: libkrun's devices are of the
//! second, QEMU's of the first.

use crate::sys::{read, write};

/// Registers, by their offset.
pub(crate) mod register {
    pub(crate) const VERSION: u64 = 0x04;
    pub(crate) const DEVICE_ID: u64 = 0x08;
    pub(crate) const DEVICE_FEATURES: u64 = 0x10;
    pub(crate) const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub(crate) const DRIVER_FEATURES: u64 = 0x20;
    pub(crate) const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub(crate) const PAGE_SIZE: u64 = 0x28;
    pub(crate) const QUEUE_SELECT: u64 = 0x30;
    pub(crate) const QUEUE_MOST: u64 = 0x34;
    pub(crate) const QUEUE_SIZE: u64 = 0x38;
    pub(crate) const QUEUE_ALIGN: u64 = 0x3c;
    pub(crate) const QUEUE_PAGE: u64 = 0x40;
    pub(crate) const QUEUE_READY: u64 = 0x44;
    pub(crate) const NOTIFY: u64 = 0x50;
    pub(crate) const STATUS: u64 = 0x70;
    pub(crate) const DESCRIPTORS: u64 = 0x80;
    pub(crate) const AVAILABLE: u64 = 0x90;
    pub(crate) const USED: u64 = 0xa0;
    pub(crate) const CONFIGURATION: u64 = 0x100;
}
use register::*;

/// What a driver says of itself.
pub(crate) mod status {
    pub(crate) const ACKNOWLEDGE: u32 = 1;
    pub(crate) const DRIVER: u32 = 2;
    pub(crate) const DRIVER_OK: u32 = 4;
    pub(crate) const FEATURES_OK: u32 = 8;
    /// The device has given up.
    pub(crate) const NEEDS_RESET: u32 = 64;
}
use status::*;

/// `VIRTIO_F_EVENT_IDX`: without it a device says of all that it has used.
const EVENT_INDEX: u32 = 1 << 29;
/// Where a ring lies in pages of a device of the first version.
pub(crate) const PAGE: u64 = 4096;

/// What a device is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Net,
    Block,
    Console,
    Random,
    Balloon,
    Vsock,
    Other,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Block => "block",
            Self::Console => "console",
            Self::Random => "random",
            Self::Balloon => "balloon",
            Self::Vsock => "vsock",
            Self::Other => "other",
        }
    }
}

/// Where a queue is, and how long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rings {
    pub(crate) size: u32,
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
}

/// A device.
#[derive(Clone, Copy)]
pub(crate) struct Device {
    pub(crate) base: u64,
    pub(crate) kind: Kind,
    /// Of the first version: a queue is one range of pages.
    pub(crate) is_legacy: bool,
}

impl Device {
    pub(crate) fn at(base: u64) -> Self {
        let kind = match read::<u32>(base + DEVICE_ID) {
            1 => Kind::Net,
            2 => Kind::Block,
            3 => Kind::Console,
            4 => Kind::Random,
            5 => Kind::Balloon,
            19 => Kind::Vsock,
            _ => Kind::Other,
        };
        Self { base, kind, is_legacy: read::<u32>(base + VERSION) == 1 }
    }

    pub(crate) fn get(&self, register: u64) -> u32 {
        read(self.base + register)
    }

    pub(crate) fn set(&self, register: u64, value: u32) {
        write(self.base + register, value);
    }

    fn set_address(&self, register: u64, address: u64) {
        self.set(register, address as u32);
        self.set(register + 4, (address >> 32) as u32);
    }

    /// Back to the beginning; false where the device does not go there.
    pub(crate) fn reset(&self) -> bool {
        self.set(STATUS, 0);
        self.get(STATUS) == 0
    }

    /// Takes all that the device offers.
    pub(crate) fn negotiate(&self) {
        self.set(STATUS, ACKNOWLEDGE);
        self.set(STATUS, ACKNOWLEDGE | DRIVER);
        for (half, but) in [(0, EVENT_INDEX), (1, 0)] {
            self.set(DEVICE_FEATURES_SELECT, half);
            let offered = self.get(DEVICE_FEATURES);
            self.set(DRIVER_FEATURES_SELECT, half);
            self.set(DRIVER_FEATURES, offered & !but);
        }
        if self.is_legacy {
            self.set(PAGE_SIZE, PAGE as u32);
        } else {
            self.set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        }
    }

    /// The most entries of a queue; 0 where there is no such queue.
    pub(crate) fn most(&self, queue: u32) -> u32 {
        self.set(QUEUE_SELECT, queue);
        self.get(QUEUE_MOST)
    }

    /// Tells the device where a queue is.
    pub(crate) fn place(&self, queue: u32, rings: Rings, ready: bool) {
        self.set(QUEUE_SELECT, queue);
        self.set(QUEUE_SIZE, rings.size);
        if self.is_legacy {
            self.set(QUEUE_ALIGN, PAGE as u32);
            if ready {
                self.set(QUEUE_PAGE, (rings.descriptors / PAGE) as u32);
            }
        } else {
            self.set_address(DESCRIPTORS, rings.descriptors);
            self.set_address(AVAILABLE, rings.available);
            self.set_address(USED, rings.used);
            self.set(QUEUE_READY, ready.into());
        }
    }

    /// Lets it work.
    pub(crate) fn go(&self) {
        let features = if self.is_legacy { 0 } else { FEATURES_OK };
        self.set(STATUS, ACKNOWLEDGE | DRIVER | features | DRIVER_OK);
    }

    pub(crate) fn notify(&self, queue: u32) {
        crate::sys::fence();
        self.set(NOTIFY, queue);
    }

    pub(crate) fn has_given_up(&self) -> bool {
        self.get(STATUS) & NEEDS_RESET != 0
    }
}
