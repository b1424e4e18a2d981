//! Frames that are none.

use super::bench::LASTING;
use super::{Bench, Plan};
use crate::console::say;
use crate::queue::{Came, WRITE};
use crate::sys::write;

const RECEIVE: u32 = 0;
const SEND: u32 = 1;
/// What precedes each frame (virtio 1.2, 5.1.6).
const HEADER: u32 = 12;

/// A question for the gateway, which is answered.
const ASK: &[u8] = &[
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0xa3, 0x50, 0, 0, 2, 0x08, 0x06, // to all, ARP
    0, 1, 0x08, 0, 6, 4, 0, 1, // who is
    0x02, 0xa3, 0x50, 0, 0, 2, 10, 163, 80, 2, 0, 0, 0, 0, 0, 0, 10, 163, 80, 1,
];
/// An IPv4 packet that says it has 65,535 bytes, and options that it has not.
const LONG: &[u8] = &[
    0x02, 0xa3, 0x50, 0, 0, 1, 0x02, 0xa3, 0x50, 0, 0, 2, 0x08, 0, // to the gateway, IPv4
    0x4f, 0, 0xff, 0xff, 0, 0, 0x20, 0, 64, 6, 0, 0, 10, 163, 80, 2, 10, 163, 80, 1,
];
/// An IPv6 packet whose extension headers lead nowhere.
const CHAIN: &[u8] = &[
    0x02, 0xa3, 0x50, 0, 0, 1, 0x02, 0xa3, 0x50, 0, 0, 2, 0x86, 0xdd, // to the gateway, IPv6
    0x60, 0, 0, 0, 0xff, 0xff, 0, 64, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff,
];

/// A frame: its name, what its header is full of, how it begins, and the lengths of its buffers.
type Frame = (&'static str, u8, &'static [u8], &'static [u32]);

const FRAMES: &[Frame] = &[
    ("a question for the gateway", 0, ASK, &[HEADER + 60]),
    ("a frame of nothing", 0, &[], &[HEADER]),
    ("half a header", 0, &[], &[5]),
    ("a header less one byte", 0, &[], &[HEADER - 1]),
    ("a frame of one byte", 0, &[], &[HEADER + 1]),
    ("a frame of 13 bytes", 0, ASK, &[HEADER + 13]),
    ("a frame of 64 KiB", 0, LONG, &[HEADER + (64 << 10)]),
    ("a frame of more than 64 KiB", 0, LONG, &[HEADER + (64 << 10) + 100]),
    ("a frame of half a mebibyte", 0, LONG, &[HEADER, 512 << 10]),
    ("a frame in 8 buffers of 64 KiB", 0, LONG, &[65_536; 8]),
    ("a frame in buffers of one byte", 0, ASK, &[1; 64]),
    ("a header full of ones", 0xff, ASK, &[HEADER + 60]),
    ("a header of segments that are none", 0x01, LONG, &[HEADER + 1000]),
    ("a header of sums far outside", 0x81, LONG, &[HEADER + 64]),
    ("a packet shorter than it says", 0, LONG, &[HEADER + 34]),
    ("a packet of headers", 0, CHAIN, &[HEADER + 600]),
    ("noise", 0, &[0xa5; 64], &[HEADER + 64]),
];

/// Room for a frame to come in: its name, where in the buffer or past memory's end, its length and its flags.
const ROOMS: &[(&str, bool, u32, u16)] = &[
    ("an answer into enough room", false, 4096, WRITE),
    ("an answer into no room", false, 0, WRITE),
    ("an answer into one byte", false, 1, WRITE),
    ("an answer into half a header", false, 5, WRITE),
    ("an answer into a header's room", false, HEADER, WRITE),
    ("an answer into what is to be read", false, 4096, 0),
    ("an answer past memory's end", true, 4096, WRITE),
];

pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    for (name, outside, length, flags) in ROOMS {
        bench.patience = if *name == ROOMS[0].0 { LASTING } else { 1 };
        if plan.comes_to(bench.device, Some(RECEIVE), name) {
            receive(bench, *outside, *length, *flags);
            say("\n");
        }
    }
    for (name, fill, begin, lengths) in FRAMES {
        bench.attempt(SEND, name, plan, |queue, _| {
            let at = queue.buffers() + 4096;
            lay(at, *fill, begin);
            let places = lengths.iter().scan(at, |next, length| {
                *next += u64::from(*length);
                Some(*next - u64::from(*length))
            });
            queue.chain(places.zip(lengths.iter()).map(|(place, length)| (place, *length, 0)));
            0
        });
    }
}

/// Offers this room, and asks the gateway.
fn receive(bench: &mut Bench, outside: bool, length: u32, flags: u16) {
    let (end, patience) = (bench.end, bench.patience);
    let Some(room) = bench.queue(RECEIVE) else { return };
    let at = if outside { end } else { room.buffers() };
    room.chain([(at, length, flags)].into_iter());
    let before = room.used();
    let mut came = room.offer(0);
    if matches!(came, Came::Nothing) {
        let Some(question) = bench.queue(SEND) else { return };
        let at = question.buffers() + 4096;
        lay(at, 0, ASK);
        question.chain([(at, HEADER + 60, 0)].into_iter());
        let _ = question.offer(0);
        if let Some(room) = bench.queue(RECEIVE) {
            came = room.wait_long(before, patience);
        }
    }
    bench.say_what(&came);
    bench.mend(RECEIVE, &came);
}

fn lay(at: u64, fill: u8, begin: &[u8]) {
    (at..at + u64::from(HEADER)).for_each(|at| write(at, fill));
    (at + u64::from(HEADER)..).zip(begin).for_each(|(at, byte)| write(at, *byte));
}
