//! Chains of descriptors that no device can make sense of, on every queue.

use super::{Bench, Plan};
use crate::queue::{Descriptor, INDIRECT, NEXT, Queue, WRITE};

/// A place that a descriptor names.
#[derive(Clone, Copy)]
enum At {
    /// A buffer, as it should be.
    Buffer,
    /// So far before memory's end.
    End(u64),
    /// So far before the end of all addresses.
    Top(u64),
    /// This address.
    There(u64),
    /// The device's own registers.
    Device,
    /// The queue's own descriptors.
    Table,
    /// What the device has used.
    Used,
}
use At::*;

/// A descriptor: where, how long, flags, and the next.
type Link = (At, u32, u16, u16);

/// A chain: its name, the descriptor that it is said to begin with, and its descriptors.
type Chain = (&'static str, u16, &'static [Link]);

/// Where the tables of indirect descriptors are, in a buffer.
const INNER: u64 = 64 << 10;
const LOCAL_APIC: u64 = 0xfee0_0000;
const IO_APIC: u64 = 0xfec0_0000;
/// Nothing has ever been there.
const HOLE: u64 = 0xe000_0000;
const LAST: u16 = u16::MAX;

const CHAINS: &[Chain] = &[
    ("of one buffer to read", 0, &[(Buffer, 64, 0, 0)]),
    ("of one buffer to write", 0, &[(Buffer, 64, WRITE, 0)]),
    ("of nothing to read", 0, &[(Buffer, 0, 0, 0)]),
    ("of nothing to write", 0, &[(Buffer, 0, WRITE, 0)]),
    ("of nothing and nothing", 0, &[(Buffer, 0, NEXT, 1), (Buffer, 0, WRITE, 0)]),
    ("of 2 GiB to read", 0, &[(Buffer, 1 << 31, 0, 0)]),
    ("of 2 GiB to write", 0, &[(Buffer, 1 << 31, WRITE, 0)]),
    ("of 4 GiB to read", 0, &[(Buffer, u32::MAX, 0, 0)]),
    ("of 4 GiB to write", 0, &[(Buffer, u32::MAX, WRITE, 0)]),
    ("of 4 GiB twice, to write", 0, &[(Buffer, u32::MAX, WRITE | NEXT, 1), (Buffer, u32::MAX, WRITE, 0)]),
    ("past memory's end, to read", 0, &[(End(0), 512, 0, 0)]),
    ("past memory's end, to write", 0, &[(End(0), 512, WRITE, 0)]),
    ("over memory's end, to read", 0, &[(End(16), 512, 0, 0)]),
    ("over memory's end, to write", 0, &[(End(16), 512, WRITE, 0)]),
    ("over the end of all addresses, to read", 0, &[(Top(16), 512, 0, 0)]),
    ("over the end of all addresses, to write", 0, &[(Top(16), 512, WRITE, 0)]),
    ("at address 2^63", 0, &[(There(1 << 63), 512, WRITE, 0)]),
    ("in the hole between memories, to read", 0, &[(There(HOLE), 512, 0, 0)]),
    ("in the hole between memories, to write", 0, &[(There(HOLE), 512, WRITE, 0)]),
    ("of the device's own registers, to read", 0, &[(Device, 512, 0, 0)]),
    ("of the device's own registers, to write", 0, &[(Device, 512, WRITE, 0)]),
    // What is written to the processor's own controller may be an order to begin anew.
    ("of the processor's interrupt controller", 0, &[(There(LOCAL_APIC), 4096, 0, 0)]),
    ("of the interrupt controller", 0, &[(There(IO_APIC), 4096, WRITE, 0)]),
    ("of its own descriptors", 0, &[(Table, 4096, WRITE, 0)]),
    ("of what was used", 0, &[(Used, 4096, WRITE, 0)]),
    ("that reads what it has written", 0, &[(Buffer, 64, WRITE | NEXT, 1), (Buffer, 64, 0, 0)]),
    (
        "good, then past memory",
        0,
        &[(Buffer, 64, NEXT, 1), (End(0), 512, WRITE | NEXT, 2), (Buffer, 1, WRITE, 0)],
    ),
    ("that leads to itself", 0, &[(Buffer, 64, NEXT, 0)]),
    ("that leads to itself, to write", 0, &[(Buffer, 64, WRITE | NEXT, 0)]),
    ("of two that lead to each other", 0, &[(Buffer, 64, NEXT, 1), (Buffer, 64, WRITE | NEXT, 0)]),
    ("that goes on behind the table", 0, &[(Buffer, 64, NEXT, LAST)]),
    ("that goes on at the table's end", 0, &[(Buffer, 64, WRITE | NEXT, 64)]),
    ("that begins behind the table", LAST, &[(Buffer, 64, 0, 0)]),
    ("that begins at the table's end", 64, &[(Buffer, 64, 0, 0)]),
    ("with flags that nobody knows", 0, &[(Buffer, 64, 0xfff8, 0)]),
    ("of an empty table", 0, &[(Buffer, 0, INDIRECT, 0)]),
    ("of half a table", 0, &[(Buffer, 17, INDIRECT, 0)]),
    ("of a table of 4 GiB", 0, &[(Buffer, 0xffff_fff0, INDIRECT, 0)]),
    ("of a table past memory's end", 0, &[(End(0), 32, INDIRECT, 0)]),
    ("of a table over memory's end", 0, &[(End(16), 64, INDIRECT, 0)]),
    ("of a table over the end of all addresses", 0, &[(Top(16), 64, INDIRECT, 0)]),
    ("of a table in the device's registers", 0, &[(Device, 256, INDIRECT, 0)]),
    ("of a table to write", 0, &[(Buffer, 32, INDIRECT | WRITE, 0)]),
    ("of a table and more", 0, &[(Buffer, 32, INDIRECT | NEXT, 1), (Buffer, 64, WRITE, 0)]),
    ("of a table that is the queue's own", 0, &[(Table, 16, INDIRECT, 0)]),
];

/// Tables of descriptors, each behind one good descriptor: their name, what they are said to hold, and what they do.
const TABLES: &[(&str, u32, &[Link])] = &[
    ("a table within a table", 32, &[(Buffer, 32, INDIRECT, 0), (Buffer, 32, INDIRECT, 0)]),
    ("a table that leads to itself", 16, &[(Buffer, 64, NEXT, 0)]),
    ("a table that goes on behind its end", 16, &[(Buffer, 64, NEXT, LAST)]),
    ("a table longer than the queue", 1 << 16, &[(Buffer, 64, WRITE | NEXT, 4095)]),
    ("a table of what is past memory", 16, &[(End(0), 512, WRITE, 0)]),
];

/// Tries them all on every queue.
pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    for index in bench.indices() {
        for (name, head, links) in CHAINS {
            bench.attempt(index, name, plan, |queue, end| {
                queue.put(links.iter().map(|link| descriptor(*link, queue, end)));
                *head
            });
        }
        for (name, length, links) in TABLES {
            bench.attempt(index, name, plan, |queue, end| {
                let table = queue.buffers() + INNER;
                let places = (table..).step_by(16);
                places.zip(links.iter()).for_each(|(place, link)| descriptor(*link, queue, end).put(place));
                queue.put([Descriptor { at: table, length: *length, flags: INDIRECT, next: 0 }].into_iter());
                0
            });
        }
        bench.attempt(index, "as long as the queue", plan, |queue, _| {
            let last = queue.rings.size as u16 - 1;
            let flags = |number: u16| if number == last { WRITE } else { WRITE | NEXT };
            let at = queue.buffers();
            queue.put((0..=last).map(|number| Descriptor {
                at,
                length: 64,
                flags: flags(number),
                next: number + 1,
            }));
            0
        });
    }
}

fn descriptor((at, length, flags, next): Link, queue: &Queue, end: u64) -> Descriptor {
    let at = match at {
        Buffer => queue.buffers() + 4096,
        End(before) => end - before,
        Top(before) => 0_u64.wrapping_sub(before),
        There(address) => address,
        Device => queue.device().base,
        Table => queue.rings.descriptors,
        Used => queue.rings.used,
    };
    Descriptor { at, length, flags, next }
}
