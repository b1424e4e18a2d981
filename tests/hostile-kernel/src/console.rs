//! The serial console: how the tests hear how far this kernel came.

use crate::sys::out;

const COM1: u16 = 0x3f8;

pub(crate) fn say(text: &str) {
    text.bytes().for_each(|byte| out(COM1, byte));
}

pub(crate) fn say_number(number: u64) {
    if number >= 10 {
        say_number(number / 10);
    }
    out(COM1, b'0' + (number % 10) as u8);
}

pub(crate) fn say_address(number: u64) {
    if number >= 16 {
        say_address(number >> 4);
    }
    out(COM1, b"0123456789abcdef"[(number & 15) as usize]);
}
