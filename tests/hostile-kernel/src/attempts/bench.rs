//! A device on which attempts are made: started when it has to be, and mended after each.

use super::Plan;
use crate::console::{say, say_number};
use crate::device::{Device, Kind};
use crate::queue::{Came, Descriptor, NEXT, Queue, WRITE};
use crate::sys::{read, write};

/// The most queues of a device that are tried: a console has dozens that are alike.
const QUEUES: u32 = 6;
/// A patience that a busy host does not wear out.
pub(crate) const LASTING: u32 = 1000;
/// What the byte of status of a disk's request is before the disk writes it: the first of a queue's buffers.
const UNWRITTEN: u8 = 0xee;

/// A device, and the state that it was brought into.
pub(crate) struct Bench {
    pub(crate) device: Device,
    /// Where memory ends.
    pub(crate) end: u64,
    /// How often a device's patience is waited for: more than once where an answer is certain.
    pub(crate) patience: u32,
    is_fresh: bool,
    /// Whether it may still be at work on something that it is never through with: one does not come back from a reset.
    is_stuck: bool,
    queues: [Option<Queue>; QUEUES as usize],
}

impl Bench {
    pub(crate) fn new(device: Device, end: u64) -> Self {
        Self { device, end, patience: 1, is_fresh: true, is_stuck: false, queues: [None; QUEUES as usize] }
    }

    /// Those of its queues that are tried.
    pub(crate) fn indices(&self) -> core::ops::Range<u32> {
        let count = (0..QUEUES).take_while(|queue| self.device.most(*queue) != 0).count() as u32;
        // QEMU's console has a port that is nobody's before that of control, and the agent's behind it.
        // libkrun's balloon leaves all but the last two of its five queues alone.
        let first = if matches!(self.device.kind, Kind::Console | Kind::Balloon) { 3 } else { 0 };
        first..count
    }

    /// Whether the device can be brought back to where it was.
    pub(crate) fn can_forget(&mut self) -> bool {
        self.queues = [None; QUEUES as usize];
        self.is_fresh || !self.is_stuck && self.device.reset()
    }

    /// Has the device forget all queues. One that cannot needs a machine that was just booted: then nothing more is
    /// tried on this one.
    pub(crate) fn forget(&mut self) {
        if !self.can_forget() {
            say("needs a fresh machine\n");
            crate::rest();
        }
        self.device.reset();
        (self.is_fresh, self.is_stuck) = (false, false);
        self.device.negotiate();
    }

    /// The queue `index` of the device, which works.
    pub(crate) fn queue(&mut self, index: u32) -> Option<&mut Queue> {
        if self.queues.iter().all(Option::is_none) || self.device.has_given_up() {
            self.forget();
            for index in self.indices() {
                let queue = Queue::of(self.device, index);
                queue.iter().for_each(Queue::place);
                self.queues[index as usize] = queue;
            }
            self.device.go();
        }
        self.queues.get_mut(index as usize)?.as_mut()
    }

    /// Makes an attempt of one chain: `lay`, told where memory ends, puts it into the queue and tells its first
    /// descriptor.
    pub(crate) fn attempt(
        &mut self,
        index: u32,
        name: &str,
        plan: &mut Plan,
        lay: impl FnOnce(&Queue, u64) -> u16,
    ) {
        if !plan.comes_to(self.device, Some(index), name) {
            return;
        }
        let (end, patience) = (self.end, self.patience);
        let Some(queue) = self.queue(index) else { return say("no such queue\n") };
        let status = queue.buffers();
        write(status, UNWRITTEN);
        let head = lay(queue, end);
        let before = queue.used();
        queue.push(head);
        let came = queue.wait_long(before, patience);
        self.say_what(&came);
        let status = read::<u8>(status);
        if self.device.kind == Kind::Block && status != UNWRITTEN {
            say(", status ");
            say_number(status.into());
        }
        self.mend(index, &came);
        say("\n");
    }

    /// What came of queues that are not as they should be, which nothing can mend.
    pub(crate) fn leave(&mut self, came: &Came) {
        self.say_what(came);
        self.is_stuck =
            matches!(came, Came::Nothing) && !self.device.is_legacy && !self.device.has_given_up();
    }

    pub(crate) fn say_what(&self, came: &Came) {
        match came {
            Came::Used(length) => {
                say("used ");
                say_number(u64::from(*length));
            }
            Came::Nothing if self.device.has_given_up() => say("given up"),
            Came::Nothing => say("left"),
        }
    }

    /// Gives a device that works on something that it will never be through with something better.
    pub(crate) fn mend(&mut self, index: u32, came: &Came) {
        if matches!(came, Came::Used(_)) {
            return;
        }
        // One of the first version does not say that it has given up, and can always be reset.
        if self.device.is_legacy || self.device.has_given_up() {
            self.queues = [None; QUEUES as usize];
            return;
        }
        let kind = self.device.kind;
        let Some(queue) = self.queue(index) else { return };
        let at = queue.buffers() + 4096;
        let part = |length: u32, flags: u16, next: u16| Descriptor { at, length, flags, next };
        match (kind, index % 2) {
            (Kind::Block, _) => {
                (0..16).for_each(|byte| write(at + byte, 0_u8));
                queue.mend(&[part(16, NEXT, 1), part(512, NEXT | WRITE, 2), part(1, WRITE, 0)]);
            }
            (Kind::Net | Kind::Console | Kind::Vsock, 1) | (Kind::Balloon, _) => {
                queue.mend(&[part(72, 0, 0)])
            }
            _ => queue.mend(&[part(4096, WRITE, 0)]),
        }
    }
}
