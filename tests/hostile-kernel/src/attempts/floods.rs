//! Requests that are right, and far larger than anything needs: gibibytes, out of the same memory over and over.

use super::{Bench, Plan};
use crate::console::say;
use crate::device::Kind;
use crate::machine::WORK;
use crate::queue::{Came, Queue, WRITE};
use crate::sys::write;

/// The memory that is named over and over: none that holds rings.
const AT: u64 = WORK + (24 << 20);
const LENGTH: u32 = 48 << 20;
/// How often a device's patience is waited for: a few seconds.
const WAITS: u32 = 500;

pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    for index in bench.indices() {
        for (name, flags) in [("gibibytes to read", 0), ("gibibytes to write", WRITE)] {
            if !plan.comes_to(bench.device, Some(index), name) {
                continue;
            }
            let is_block = bench.device.kind == Kind::Block;
            let Some(queue) = bench.queue(index) else { continue };
            let before = queue.used();
            let parts = queue.rings.size;
            if is_block {
                lay_request(queue, parts, flags)
            } else {
                queue.chain((0..parts).map(|_| (AT, LENGTH, flags)))
            }
            let mut came = queue.offer(0);
            // A queue that nothing is ever taken from is known by its emptiness.
            for wait in 0..WAITS {
                if wait % 100 == 99 {
                    say(".");
                }
                if matches!(came, Came::Used(_)) || is_idle(bench.device.kind, index, flags) {
                    break;
                }
                let Some(queue) = bench.queue(index) else { break };
                came = queue.wait(before);
            }
            bench.say_what(&came);
            bench.mend(index, &came);
            say("\n");
        }
    }
}

/// Whether a device has nothing to do with such a chain: it would be waited for in vain.
fn is_idle(kind: Kind, index: u32, flags: u16) -> bool {
    match kind {
        Kind::Net | Kind::Vsock | Kind::Console => index.is_multiple_of(2) || flags == WRITE,
        Kind::Balloon => index != 4,
        Kind::Block | Kind::Random | Kind::Other => false,
    }
}

/// A read of all these buffers; a write would fill the host's disk, which is the box's right.
fn lay_request(queue: &Queue, parts: u32, flags: u16) {
    let header = queue.buffers() + 4096;
    (header..header + 16).for_each(|at| write(at, 0_u8));
    queue.chain((0..parts).map(|part| match part {
        0 => (header, 16, 0),
        part if part == parts - 1 => (queue.buffers(), 1, WRITE),
        _ => (AT, LENGTH, flags),
    }));
}
