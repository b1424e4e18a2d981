//! Registers and configuration, read and written as they are not meant to be. Nothing of it starts the device.

use super::{Bench, Plan};
use crate::console::say;
use crate::device::{Device, PAGE, register::*, status::*};
use crate::sys::{read, write};

/// Where the configuration is looked at: its edges as devices have them, and those of their places in memory.
const EDGES: &[u64] = &[0, 1, 2, 3, 7, 0x14, 0x3a, 0x3c, 0x3f, 0x5c, 0x60, 0x7f, 0xf8, 0xff];
const NUMBERS: &[u32] = &[0, 3, 64, 0xffff, 0x1_0000, 0x1_0008, 1 << 31, u32::MAX];
const NOWHERE: &[u32] = &[64, 255, 1023, 1024, 0xffff, 0x1_0000, 1 << 31, u32::MAX];

/// What is done with a device that was not started, and what that is called.
type Act = (&'static str, fn(&Device));

const ACTS: &[Act] = &[
    ("registers read at every width", read_registers),
    ("registers written at wrong widths", write_registers),
    ("configuration read at every edge and width", read_configuration),
    ("configuration written at every edge and width", write_configuration),
    ("queues that do not exist", choose_queues),
    ("queues of odd sizes", size_queues),
    ("notifications of queues that were not placed", notify),
    ("features that were not offered", take_features),
    ("pages of odd sizes", size_pages),
    ("steps of a driver in no order", step),
];

pub(crate) fn make(bench: &Bench, plan: &mut Plan) {
    for (name, act) in ACTS {
        if plan.comes_to(bench.device, None, name) {
            act(&bench.device);
            bench.device.reset();
            say("done\n");
        }
    }
}

/// Says that the driver has failed: some devices never come back from there.
pub(crate) fn fail(device: Device, plan: &mut Plan) {
    if plan.comes_to(device, None, "a driver that has failed") {
        device.set(STATUS, 0x80);
        device.set(STATUS, 0xff);
        say(if device.reset() { "done\n" } else { "for good\n" });
    }
}

fn read_at(at: u64) {
    let _ = (read::<u8>(at), read::<u16>(at), read::<u32>(at), read::<u64>(at));
}

fn write_at(at: u64) {
    write(at, u8::MAX);
    write(at, u16::MAX);
    write(at, u64::MAX);
}

fn read_registers(device: &Device) {
    (0..CONFIGURATION).step_by(4).for_each(|register| read_at(device.base + register));
    (1..16).step_by(2).for_each(|register| read_at(device.base + register));
}

fn write_registers(device: &Device) {
    // Not the status: what is within it is a step of its own.
    let registers = (0..CONFIGURATION).step_by(4).filter(|register| !(0x68..0x78).contains(register));
    registers.for_each(|register| write_at(device.base + register));
}

fn read_configuration(device: &Device) {
    EDGES.iter().for_each(|edge| read_at(device.base + CONFIGURATION + edge));
}

fn write_configuration(device: &Device) {
    device.negotiate();
    for edge in EDGES {
        write_at(device.base + CONFIGURATION + edge);
        write(device.base + CONFIGURATION + edge, u32::MAX);
    }
}

fn choose_queues(device: &Device) {
    device.negotiate();
    for queue in NOWHERE {
        device.set(QUEUE_SELECT, *queue);
        device.get(QUEUE_MOST);
        device.get(QUEUE_READY);
        device.set(QUEUE_SIZE, 8);
        for register in [QUEUE_PAGE, DESCRIPTORS, AVAILABLE, USED, QUEUE_READY] {
            device.set(register, 1);
            device.set(register, u32::MAX);
        }
        device.notify(*queue);
    }
}

fn size_queues(device: &Device) {
    device.negotiate();
    device.set(QUEUE_SELECT, 0);
    for size in NUMBERS {
        device.set(QUEUE_SIZE, *size);
        device.set(QUEUE_ALIGN, *size);
    }
}

fn notify(device: &Device) {
    device.negotiate();
    (0..6).for_each(|queue| device.notify(queue));
}

fn take_features(device: &Device) {
    device.set(STATUS, ACKNOWLEDGE);
    device.set(STATUS, ACKNOWLEDGE | DRIVER);
    for half in NUMBERS {
        device.set(DEVICE_FEATURES_SELECT, *half);
        device.get(DEVICE_FEATURES);
        device.set(DRIVER_FEATURES_SELECT, *half);
        device.set(DRIVER_FEATURES, u32::MAX);
    }
    for half in [0, 1] {
        device.set(DRIVER_FEATURES_SELECT, half);
        device.set(DRIVER_FEATURES, u32::MAX);
    }
    device.set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

fn size_pages(device: &Device) {
    device.negotiate();
    for size in NUMBERS {
        device.set(PAGE_SIZE, *size);
        device.set(QUEUE_ALIGN, *size);
        device.set(QUEUE_PAGE, u32::MAX);
        device.set(QUEUE_PAGE, 0);
    }
    device.set(PAGE_SIZE, PAGE as u32);
}

fn step(device: &Device) {
    for status in [DRIVER_OK, FEATURES_OK, ACKNOWLEDGE | FEATURES_OK, 0x40, 0x30, 0xffff_ff00, ACKNOWLEDGE, 0]
    {
        device.set(STATUS, status);
    }
}
