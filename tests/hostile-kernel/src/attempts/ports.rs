//! What a console's guest may say of ports that are not there, and of its own.

use super::{Bench, Plan};
use crate::sys::write;

/// The queue on which a guest speaks of ports.
const CONTROL: u32 = 3;

/// Events (virtio 1.2, 5.3.6.2).
const DEVICE_READY: u16 = 0;
const PORT_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// A message: its name, the port, the event, its value, and the message's length.
type Message = (&'static str, u32, u16, u16, u32);

const MESSAGES: &[Message] = &[
    ("a console that is ready", 0, DEVICE_READY, 1, 8),
    ("a console that is not ready", 0, DEVICE_READY, 0, 8),
    ("a port that is ready", 1, PORT_READY, 1, 8),
    ("a port that is not there", 31, PORT_READY, 1, 8),
    ("a port of the highest number", u32::MAX, PORT_READY, 1, 8),
    ("a port behind all ports", 1024, PORT_OPEN, 1, 8),
    ("a port that is opened, twice", 1, PORT_OPEN, 1, 8),
    ("a port that is opened again", 1, PORT_OPEN, 0xffff, 8),
    ("a port that is closed", 1, PORT_OPEN, 0, 8),
    ("a port that is not ready", 1, PORT_READY, 0, 8),
    ("a port that the guest adds", 2, PORT_ADD, 1, 8),
    ("a port that becomes a console", 1, CONSOLE_PORT, 1, 8),
    ("a size of nothing", 1, RESIZE, 0, 64),
    ("a name from the guest", 1, PORT_NAME, 1, 1 << 19),
    ("an event that nobody knows", 1, 0xffff, 0xffff, 8),
    ("half a message", 1, PORT_READY, 1, 3),
    ("a message of nothing", 1, PORT_READY, 1, 0),
    ("a message of half a mebibyte", 1, PORT_READY, 1, 1 << 19),
];

pub(crate) fn make(bench: &mut Bench, plan: &mut Plan) {
    for (name, port, event, value, length) in MESSAGES {
        bench.attempt(CONTROL, name, plan, |queue, _| {
            let at = queue.buffers() + 4096;
            write(at, *port);
            write(at + 4, *event);
            write(at + 6, *value);
            queue.chain([(at, *length, 0)].into_iter());
            0
        });
    }
}
