//! A queue in memory: descriptors, what is available to the device, and what it has used.

use crate::device::{Device, PAGE, Rings};
use crate::machine::WORK;
use crate::sys::{clock, fence, read, write};

pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// Entries of our queues, where the device allows as many.
const ENTRIES: u32 = 64;
/// Room for one queue.
const ROOM: u64 = 4 * PAGE;
/// Room for the buffers of one queue.
pub(crate) const BUFFERS: u64 = 1 << 20;
/// How long a device may take: some milliseconds, whatever the clock's rate.
const PATIENCE: u64 = 4_000_000;

/// What became of a chain.
pub(crate) enum Came {
    /// The device is through with it, and says that it wrote so many bytes.
    Used(u32),
    /// Nothing, for some milliseconds.
    Nothing,
}

/// A descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor {
    pub(crate) at: u64,
    pub(crate) length: u32,
    pub(crate) flags: u16,
    pub(crate) next: u16,
}

impl Descriptor {
    pub(crate) fn put(self, at: u64) {
        write(at, self.at);
        write(at + 8, self.length);
        write(at + 12, self.flags);
        write(at + 14, self.next);
    }
}

/// A queue of a device that works.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    device: Device,
    pub(crate) index: u32,
    pub(crate) rings: Rings,
    available: u16,
}

impl Queue {
    /// The queue `index`, empty, where the device has one.
    pub(crate) fn of(device: Device, index: u32) -> Option<Self> {
        let most = device.most(index);
        let rings = Self::rings(index, most.min(ENTRIES));
        (rings.descriptors..rings.descriptors + ROOM).step_by(8).for_each(|at| write(at, 0_u64));
        (most != 0).then_some(Self { device, index, rings, available: 0 })
    }

    /// Where the queue `index` lies: as devices of the first version want it, which suits the others.
    fn rings(index: u32, size: u32) -> Rings {
        let descriptors = WORK + u64::from(index) * ROOM;
        let available = descriptors + 16 * u64::from(size);
        let end = available + 6 + 2 * u64::from(size);
        Rings { size, descriptors, available, used: (end + PAGE - 1) & !(PAGE - 1) }
    }

    /// Memory of its own for buffers.
    pub(crate) fn buffers(&self) -> u64 {
        WORK + (1 << 20) + u64::from(self.index % 16) * BUFFERS
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    pub(crate) fn place(&self) {
        self.device.place(self.index, self.rings, true);
    }

    /// Puts descriptors into the table from its beginning.
    pub(crate) fn put(&self, descriptors: impl Iterator<Item = Descriptor>) {
        let places = (self.rings.descriptors..self.rings.available).step_by(16);
        places.zip(descriptors).for_each(|(place, descriptor)| descriptor.put(place));
    }

    /// Puts one chain into the table: where each part is, how long, and whether it is to be written.
    pub(crate) fn chain(&self, parts: impl Iterator<Item = (u64, u32, u16)>) {
        let mut parts = parts.peekable();
        let mut number = 0;
        while let Some((at, length, flags)) = parts.next() {
            let more = if parts.peek().is_some() { NEXT } else { 0 };
            let place = self.rings.descriptors + 16 * u64::from(number);
            number += 1;
            Descriptor { at, length, flags: flags | more, next: number }.put(place);
        }
    }

    /// Offers the chain that begins with descriptor `head`, and waits for what becomes of it.
    pub(crate) fn offer(&mut self, head: u16) -> Came {
        let before = self.used();
        self.push(head);
        self.wait(before)
    }

    /// Offers the chain that begins with descriptor `head`.
    pub(crate) fn push(&mut self, head: u16) {
        let slot = u64::from(self.available) % u64::from(self.rings.size);
        write(self.rings.available + 4 + 2 * slot, head);
        self.advance(1);
    }

    /// Says that there are so many chains more.
    pub(crate) fn advance(&mut self, by: u16) {
        self.available = self.available.wrapping_add(by);
        fence();
        write(self.rings.available + 2, self.available);
        self.device.notify(self.index);
    }

    /// Waits until the device has used more than `before`.
    pub(crate) fn wait(&self, before: u16) -> Came {
        let begin = clock();
        while self.used() == before {
            if clock().wrapping_sub(begin) > PATIENCE {
                return Came::Nothing;
            }
        }
        let slot = u64::from(before) % u64::from(self.rings.size);
        Came::Used(read(self.rings.used + 8 + 8 * slot))
    }

    /// The same, so many times.
    pub(crate) fn wait_long(&self, before: u16, times: u32) -> Came {
        let mut waits = (0..times).map(|_| self.wait(before));
        waits.find(|came| matches!(came, Came::Used(_))).unwrap_or(Came::Nothing)
    }

    /// How many chains the device was through with, ever.
    pub(crate) fn used(&self) -> u16 {
        read(self.rings.used + 2)
    }

    /// Makes whatever the device has not got over something that it may: `chain`, wherever it looks.
    pub(crate) fn mend(&mut self, chain: &[Descriptor]) {
        self.put(chain.iter().copied());
        for slot in 0..u64::from(self.rings.size) {
            write(self.rings.available + 4 + 2 * slot, 0_u16);
        }
        self.advance(1);
    }
}
