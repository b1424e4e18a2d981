//! What is tried, in tables: one file for each way of being wrong.

mod bench;
mod block;
mod chains;
mod floods;
mod net;
mod ports;
mod registers;
mod rings;
mod vsock;

use crate::console::{say, say_address, say_number};
use crate::device::{Device, Kind};
use crate::machine::Machine;
use bench::Bench;

/// Counts the attempts, and says what becomes of them.
pub(crate) struct Plan {
    next: u64,
    from: u64,
    /// The device that was announced last.
    device: Option<u64>,
}

impl Plan {
    pub(crate) fn from(from: u64) -> Self {
        Self { next: 0, from, device: None }
    }

    /// Whether the next attempt, called `name`, is to be made; then it is announced.
    fn comes_to(&mut self, device: Device, queue: Option<u32>, name: &str) -> bool {
        let number = self.next;
        self.next += 1;
        if number < self.from {
            return false;
        }
        // A letter takes long where each is the VMM's to write.
        if self.device.replace(device.base) != Some(device.base) {
            say("hostile: ");
            say(device.kind.name());
            say(" at ");
            say_address(device.base);
            say("\n");
        }
        say_number(number);
        if let Some(queue) = queue {
            say("/");
            say_number(queue.into());
        }
        say(" ");
        say(name);
        say(": ");
        true
    }
}

/// Makes all attempts on all devices. What takes long, or is the last that a device does, comes last.
pub(crate) fn make(machine: &Machine, plan: &mut Plan) {
    let mut benches = machine.devices.map(|device| device.map(|device| Bench::new(device, machine.end)));
    for bench in benches.iter_mut().flatten() {
        let is_first = machine.is_first(bench.device);
        if is_first {
            registers::make(bench, plan);
            chains::make(bench, plan);
        }
        match bench.device.kind {
            Kind::Block => block::make(bench, plan),
            Kind::Net => net::make(bench, plan),
            Kind::Console => ports::make(bench, plan),
            Kind::Vsock => vsock::make(bench, plan),
            Kind::Random | Kind::Balloon | Kind::Other => {}
        }
        if is_first {
            rings::make(bench, plan);
        }
    }
    for bench in benches.iter_mut().flatten().filter(|bench| machine.is_first(bench.device)) {
        floods::make(bench, plan);
    }
    for bench in benches.iter_mut().flatten().filter(|bench| bench.device.kind == Kind::Block) {
        if machine.is_first(bench.device) {
            rings::reset(bench, plan);
        }
    }
    for bench in benches.iter_mut().flatten().filter(|bench| machine.is_first(bench.device)) {
        registers::fail(bench.device, plan);
    }
}
