//! Queues that are not where and not as long as they say, and indices that jump.

use super::{Bench, Plan};
use crate::console::say;
use crate::device::{Kind, Rings};
use crate::queue::{Came, Descriptor, Queue, WRITE};

/// A place for a ring.
#[derive(Clone, Copy)]
enum At {
    /// Where it belongs.
    Here,
    /// Where it belongs, and so much further.
    Off(u64),
    /// So far before memory's end.
    End(u64),
    /// This address.
    There(u64),
    /// The device's own registers.
    Device,
    /// Where the descriptors are.
    Descriptors,
}
use At::*;

/// The length of a queue.
#[derive(Clone, Copy)]
enum Size {
    /// As it should be.
    Ours,
    /// This.
    Of(u32),
    /// Twice what the device allows.
    Double,
}
use Size::*;

/// A queue: its name, its size, where its descriptors, its available and its used ring are, whether it is ready.
type Shape = (&'static str, Size, At, At, At, bool);

/// What is tried of these on a device that has no way back, and takes a machine for each.
const WORTH_A_MACHINE: &[&str] = &[
    "descriptors past memory's end",
    "an available ring past memory's end",
    "an available ring between places",
    "a used ring past memory's end",
    "no entries",
];

const SHAPES: &[Shape] = &[
    ("rings at address 0", Ours, There(0), There(0), There(0), true),
    ("rings that are not ready", Ours, Here, Here, Here, false),
    ("descriptors past memory's end", Ours, End(0), Here, Here, true),
    ("descriptors over memory's end", Ours, End(512), Here, Here, true),
    ("descriptors over the end of all addresses", Ours, There(0xffff_ffff_ffff_fff0), Here, Here, true),
    ("descriptors in the device's registers", Ours, Device, Here, Here, true),
    ("descriptors between places", Ours, Off(7), Here, Here, true),
    ("an available ring past memory's end", Ours, Here, End(0), Here, true),
    ("an available ring over memory's end", Ours, Here, End(3), Here, true),
    ("an available ring in the device's registers", Ours, Here, Device, Here, true),
    ("an available ring between places", Ours, Here, Off(1), Here, true),
    ("a used ring past memory's end", Ours, Here, Here, End(0), true),
    ("a used ring over memory's end", Ours, Here, Here, End(8), true),
    ("a used ring over the end of all addresses", Ours, Here, Here, There(0xffff_ffff_ffff_fffc), true),
    ("a used ring in the device's registers", Ours, Here, Here, Device, true),
    ("a used ring between places", Ours, Here, Here, Off(1), true),
    ("rings one over the other", Ours, Here, Descriptors, Descriptors, true),
    ("no entries", Of(0), Here, Here, Here, true),
    ("three entries", Of(3), Here, Here, Here, true),
    ("65,535 entries", Of(0xffff), Here, Here, Here, true),
    ("2^31 entries", Of(1 << 31), Here, Here, Here, true),
    ("twice the entries that the device allows", Double, Here, Here, Here, true),
];

/// How far the index of what is available jumps.
const JUMPS: &[(&str, u16)] = &[
    ("an index that jumps by 65,535", u16::MAX),
    ("an index that jumps by 2^15", 1 << 15),
    ("an index one further than the queue is long", 65),
];

pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    let indices = bench.indices();
    for (name, by) in JUMPS {
        for index in indices.clone() {
            if !plan.comes_to(bench.device, Some(index), name) {
                continue;
            }
            let Some(queue) = bench.queue(index) else { continue };
            good(queue);
            let before = queue.used();
            queue.advance(*by);
            let came = queue.wait(before);
            bench.say_what(&came);
            bench.mend(index, &Came::Nothing);
            say("\n");
        }
    }
    for shape in SHAPES {
        if !plan.comes_to(bench.device, None, shape.0) {
            continue;
        }
        let all = bench.device.kind == Kind::Block;
        if all || WORTH_A_MACHINE.contains(&shape.0) || bench.can_forget() {
            attempt(bench, shape);
        } else {
            say("left out");
        }
        say("\n");
    }
    if plan.comes_to(bench.device, None, "no queue at all") {
        bench.forget();
        bench.device.go();
        indices.for_each(|queue| bench.device.notify(queue));
        say("done\n");
    }
}

/// Resets a device that is at work on a queue that it is never through with.
pub(crate) fn reset(bench: &mut Bench, plan: &mut Plan) {
    if plan.comes_to(bench.device, None, "a reset of what is stuck") {
        attempt(bench, &SHAPES[2]);
        say(", ");
        bench.device.reset();
        say("done\n");
    }
}

/// Gives all queues of the device this shape, and each of them something to do.
fn attempt(bench: &mut Bench, (_, size, descriptors, available, used, ready): &Shape) {
    bench.forget();
    let device = bench.device;
    let mut queues = [const { None }; 6];
    for (index, place) in (0..).zip(&mut queues) {
        let Some(queue) = Queue::of(device, index) else { break };
        good(&queue);
        let own = queue.rings;
        let place_of = |at: At, here: u64| match at {
            Here => here,
            Off(by) => here + by,
            End(before) => bench.end - before,
            There(address) => address,
            Device => device.base,
            Descriptors => own.descriptors,
        };
        let size = match *size {
            Ours => own.size,
            Of(size) => size,
            Double => 2 * device.most(index),
        };
        let rings = Rings {
            size,
            descriptors: place_of(*descriptors, own.descriptors),
            available: place_of(*available, own.available),
            used: place_of(*used, own.used),
        };
        device.place(index, rings, *ready);
        *place = Some(queue);
    }
    device.go();
    queues.iter_mut().flatten().for_each(|queue| queue.push(0));
    let first = queues[0].as_ref().map_or(Came::Nothing, |queue| queue.wait(0));
    bench.leave(&first);
}

/// One good descriptor.
fn good(queue: &Queue) {
    queue.put([Descriptor { at: queue.buffers(), length: 64, flags: WRITE, next: 0 }].into_iter());
}
