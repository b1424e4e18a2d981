//! Packets of connections that there are not, to whom they do not belong, and longer than they say.

use super::{Bench, Plan};
use crate::console::say;
use crate::queue::{Came, Queue, WRITE};
use crate::sys::{read, write};

const RECEIVE: u32 = 0;
const SEND: u32 = 1;
/// The length of a packet's header (virtio 1.2, 5.10.6).
const HEADER: u32 = 44;
const HOST: u64 = 2;
const GUEST: u64 = 3;
const AGENT: u32 = 4089;

const STREAM: u16 = 1;
const REQUEST: u16 = 1;
const RESPONSE: u16 = 2;
const RESET: u16 = 3;
const SHUTDOWN: u16 = 4;
const DATA: u16 = 5;
const CREDIT_UPDATE: u16 = 6;
const CREDIT_REQUEST: u16 = 7;

/// A packet's header.
#[derive(Clone, Copy)]
struct Header {
    from: u64,
    to: u64,
    from_port: u32,
    to_port: u32,
    length: u32,
    kind: u16,
    operation: u16,
    flags: u32,
    room: u32,
    forwarded: u32,
}

/// From a port of the guest's to the agent's client, saying nothing.
const PLAIN: Header = Header {
    from: GUEST,
    to: HOST,
    from_port: AGENT,
    to_port: 1024,
    length: 0,
    kind: STREAM,
    operation: RESET,
    flags: 0,
    room: 65_536,
    forwarded: 0,
};

/// A packet: its name, its header, and the lengths of its buffers.
type Packet = (&'static str, Header, &'static [u32]);

const PACKETS: &[Packet] = &[
    ("an end of no connection", PLAIN, &[HEADER]),
    ("half a header", PLAIN, &[20]),
    ("a header of nothing", PLAIN, &[0]),
    ("a packet to the hypervisor", Header { to: 0, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a packet to itself", Header { to: GUEST, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a packet to nobody", Header { to: u64::MAX, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a packet from the host", Header { from: HOST, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a packet from nobody", Header { from: u64::MAX, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a request to the agent's port", Header { to_port: AGENT, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a request to port 22", Header { to_port: 22, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a response to nothing", Header { operation: RESPONSE, ..PLAIN }, &[HEADER]),
    ("a response with no room", Header { operation: RESPONSE, room: 0, ..PLAIN }, &[HEADER]),
    ("an end of nothing", Header { operation: SHUTDOWN, flags: u32::MAX, ..PLAIN }, &[HEADER]),
    ("credit for nothing", Header { operation: CREDIT_UPDATE, forwarded: u32::MAX, ..PLAIN }, &[HEADER]),
    ("a request for credit", Header { operation: CREDIT_REQUEST, ..PLAIN }, &[HEADER]),
    ("an operation that nobody knows", Header { operation: 0xffff, ..PLAIN }, &[HEADER]),
    ("the operation 0", Header { operation: 0, ..PLAIN }, &[HEADER]),
    ("a kind that nobody knows", Header { kind: 0xffff, operation: REQUEST, ..PLAIN }, &[HEADER]),
    ("a sequence of packets", Header { kind: 2, operation: REQUEST, ..PLAIN }, &[HEADER]),
    (
        "a datagram to open the host's sockets",
        Header { kind: 3, to_port: 1024, operation: DATA, length: 8, ..PLAIN },
        &[HEADER, 8],
    ),
    (
        "a datagram to connect the host's sockets",
        Header { kind: 3, to_port: 1025, operation: DATA, length: 136, ..PLAIN },
        &[HEADER, 136],
    ),
    (
        "a datagram to listen on the host",
        Header { kind: 3, to_port: 1029, operation: DATA, length: 144, ..PLAIN },
        &[HEADER, 144],
    ),
    ("data of no connection", Header { operation: DATA, length: 64, ..PLAIN }, &[HEADER, 64]),
    ("data that is not there", Header { operation: DATA, length: 64, ..PLAIN }, &[HEADER]),
    ("less data than it says", Header { operation: DATA, length: 4096, ..PLAIN }, &[HEADER, 64]),
    ("data of 4 GiB", Header { operation: DATA, length: u32::MAX, ..PLAIN }, &[HEADER, 64]),
    ("data of 64 KiB", Header { operation: DATA, length: 65_536, ..PLAIN }, &[HEADER, 65_536]),
    ("data of half a mebibyte", Header { operation: DATA, length: 1 << 19, ..PLAIN }, &[HEADER, 1 << 19]),
    ("data in the header's buffer", Header { operation: DATA, length: 64, ..PLAIN }, &[HEADER + 64]),
    (
        "more data than it says",
        Header { operation: DATA, length: 1, ..PLAIN },
        &[HEADER, 1 << 18, 1 << 18, 1 << 18],
    ),
];

pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    for (name, header, lengths) in PACKETS {
        bench.attempt(SEND, name, plan, |queue, _| {
            lay(queue, header, lengths);
            0
        });
    }
    if plan.comes_to(bench.device, Some(RECEIVE), "more data than the host has room for") {
        overflow(bench);
        say("\n");
    }
}

/// Accepts a connection of the host's, and sends without an end and without looking at the credit it has.
fn overflow(bench: &mut Bench) {
    let Some(receive) = bench.queue(RECEIVE) else { return };
    let at = receive.buffers();
    for _ in 0..100 {
        receive.chain([(at, HEADER, WRITE), (at + 4096, 65_536, WRITE)].into_iter());
        if let Came::Used(_) = receive.offer(0)
            && read::<u16>(at + 30) == REQUEST
        {
            break;
        }
    }
    if read::<u16>(at + 30) != REQUEST {
        return say("nobody connects");
    }
    let (from_port, to_port) = (read::<u32>(at + 20), read::<u32>(at + 16));
    let answer = Header { from_port, to_port, operation: RESPONSE, room: u32::MAX, ..PLAIN };
    let data = Header { operation: DATA, length: 65_536, ..answer };
    let Some(send) = bench.queue(SEND) else { return };
    lay(send, &answer, &[HEADER]);
    let _ = send.offer(0);
    let mut came = Came::Nothing;
    for _ in 0..200 {
        lay(send, &data, &[HEADER, 65_536]);
        came = send.offer(0);
    }
    bench.say_what(&came);
    bench.mend(SEND, &came);
}

/// Puts a packet into the queue's table.
fn lay(queue: &Queue, header: &Header, lengths: &[u32]) {
    let at = queue.buffers() + 4096;
    write(at, header.from);
    write(at + 8, header.to);
    write(at + 16, header.from_port);
    write(at + 20, header.to_port);
    write(at + 24, header.length);
    write(at + 28, header.kind);
    write(at + 30, header.operation);
    write(at + 32, header.flags);
    write(at + 36, header.room);
    write(at + 40, header.forwarded);
    let places = lengths.iter().scan(at, |next, length| {
        *next += u64::from(*length);
        Some(*next - u64::from(*length))
    });
    queue.chain(places.zip(lengths.iter()).map(|(place, length)| (place, *length, 0)));
}
