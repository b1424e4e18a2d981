//! Requests that a disk cannot serve, or must not.

use super::bench::LASTING;
use super::{Bench, Plan};
use crate::queue::{Queue, WRITE};
use crate::sys::write;

/// What a request is to do (virtio 1.2, 5.2.6).
const READ: u32 = 0;
const OVERWRITE: u32 = 1;
const COMMAND: u32 = 2;
const FLUSH: u32 = 4;
const NAME: u32 = 8;
const LIFETIME: u32 = 10;
const DISCARD: u32 = 11;
const ZERO: u32 = 13;
const ERASE: u32 = 14;
const ZONES: u32 = 16;
const UNMAP: u32 = 1;

/// A part of a request.
#[derive(Clone, Copy)]
enum Part {
    /// So many bytes of the header.
    Header(u32),
    /// So many bytes to the device.
    Out(u32),
    /// So many bytes from the device.
    In(u32),
    /// The byte of status, last.
    Status,
    /// The same, to be read.
    StatusOut,
}
use Part::*;

/// A request: its name, what it is to do, at which sector, what its data begins with (a sector, so many sectors, flags),
/// and its parts.
type Request = (&'static str, u32, u64, (u64, u32, u32), &'static [Part]);

const NONE: (u64, u32, u32) = (0, 0, 0);
const PAST: u64 = 1 << 40;
/// Times 512, it is more than 64 bits hold.
const WRAPPING: u64 = 1 << 55;

const REQUESTS: &[Request] = &[
    ("a read as it should be", READ, 0, NONE, &[Header(16), In(512), Status]),
    ("a write of the first sectors", OVERWRITE, 0, NONE, &[Header(16), Out(4096), Status]),
    ("a discard of all there is", DISCARD, 0, (0, u32::MAX, 0), &[Header(16), Out(16), Status]),
    ("a discard of the first sectors", DISCARD, 0, (0, 8, 0), &[Header(16), Out(16), Status]),
    ("zeroes over the first sectors", ZERO, 0, (0, 8, 0), &[Header(16), Out(16), Status]),
    ("zeroes over the first sectors, unmapped", ZERO, 0, (0, 8, UNMAP), &[Header(16), Out(16), Status]),
    ("zeroes past the end", ZERO, 0, (PAST, u32::MAX, 0), &[Header(16), Out(16), Status]),
    ("zeroes at a sector that wraps", ZERO, 0, (WRAPPING, 8, 0), &[Header(16), Out(16), Status]),
    ("a discard past the end", DISCARD, 0, (PAST, 8, 0), &[Header(16), Out(16), Status]),
    ("a discard at a sector that wraps", DISCARD, 0, (WRAPPING, 8, 0), &[Header(16), Out(16), Status]),
    ("a discard with flags that nobody knows", DISCARD, 0, (0, 8, u32::MAX), &[Header(16), Out(16), Status]),
    ("half a discard", DISCARD, 0, (0, 8, 0), &[Header(16), Out(8), Status]),
    ("a discard of many ranges", DISCARD, 0, (0, 8, 0), &[Header(16), Out(1 << 20), Status]),
    ("an erasure", ERASE, 0, (0, 8, 0), &[Header(16), Out(16), Status]),
    ("a read past the end", READ, PAST, NONE, &[Header(16), In(512), Status]),
    ("a read at sector 2^55", READ, WRAPPING, NONE, &[Header(16), In(512), Status]),
    ("a read at the last of all sectors", READ, u64::MAX, NONE, &[Header(16), In(4096), Status]),
    ("a write past the end", OVERWRITE, PAST, NONE, &[Header(16), Out(512), Status]),
    ("a write at sector 2^55", OVERWRITE, WRAPPING, NONE, &[Header(16), Out(512), Status]),
    ("a write at the last of all sectors", OVERWRITE, u64::MAX, NONE, &[Header(16), Out(4096), Status]),
    ("a read of 511 bytes", READ, 0, NONE, &[Header(16), In(511), Status]),
    ("a write of 513 bytes", OVERWRITE, 0, NONE, &[Header(16), Out(513), Status]),
    ("a read of nothing", READ, 0, NONE, &[Header(16), Status]),
    ("a write of nothing", OVERWRITE, 0, NONE, &[Header(16), Status]),
    ("a read into what is to be read", READ, 0, NONE, &[Header(16), Out(512), Status]),
    ("a write of what is to be written", OVERWRITE, 0, NONE, &[Header(16), In(512), Status]),
    ("a read without a status", READ, 0, NONE, &[Header(16), In(512)]),
    ("a read without room for anything", READ, 0, NONE, &[Header(16)]),
    ("a status that is to be read", READ, 0, NONE, &[Header(16), StatusOut]),
    ("a status before the data", READ, 0, NONE, &[Header(16), Status, In(512)]),
    ("a header of one byte", READ, 0, NONE, &[Header(1), In(512), Status]),
    ("a header of 15 bytes", READ, 0, NONE, &[Header(15), In(512), Status]),
    ("a header of nothing", READ, 0, NONE, &[Header(0), In(512), Status]),
    ("no header", READ, 0, NONE, &[In(512), Status]),
    ("a status alone", READ, 0, NONE, &[Status]),
    ("a name in one byte", NAME, 0, NONE, &[Header(16), In(1), Status]),
    ("a name of a mebibyte", NAME, 0, NONE, &[Header(16), In(1 << 20), Status]),
    ("a flush with data", FLUSH, 7, NONE, &[Header(16), Out(512), In(512), Status]),
    ("a SCSI command", COMMAND, 0, NONE, &[Header(16), Out(32), In(96), In(12), Status]),
    ("half a SCSI command", COMMAND, 0, NONE, &[Header(16), Status]),
    ("a question for its lifetime", LIFETIME, 0, NONE, &[Header(16), In(1), Status]),
    ("a question for its zones", ZONES, u64::MAX, NONE, &[Header(16), In(4096), Status]),
    ("a request that nobody knows", 3, 0, NONE, &[Header(16), In(512), Status]),
    ("a request of the highest number", u32::MAX, 0, NONE, &[Header(16), Out(512), In(512), Status]),
];

pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    for request in REQUESTS {
        bench.patience = if request.0 == REQUESTS[0].0 { LASTING } else { 1 };
        bench.attempt(0, request.0, plan, |queue, _| lay(queue, request));
    }
}

fn lay(queue: &Queue, (_, kind, sector, (at, count, flags), parts): &Request) -> u16 {
    let status = queue.buffers();
    let (header, out, into) = (status + 4096, status + 8192, status + (256 << 10));
    write(header, u64::from(*kind));
    write(header + 8, *sector);
    write(out, *at);
    write(out + 8, u64::from(*count) | u64::from(*flags) << 32);
    queue.chain(parts.iter().map(|part| match *part {
        Header(length) => (header, length, 0),
        Out(length) => (out, length, 0),
        In(length) => (into, length, WRITE),
        Status => (status, 1, WRITE),
        StatusOut => (status, 1, 0),
    }));
    0
}
