//! Clocks and timers.

use crate::sys::call;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime};

/// The monotonic clock never goes back, however it is read.
pub fn moves_on() {
    let mut last = Instant::now();
    for _ in 0..200_000 {
        let now = Instant::now();
        assert!(now >= last);
        last = now;
    }
    for _ in 0..2_000 {
        let mut raw = [0_i64; 2];
        let clock = usize::try_from(libc::CLOCK_MONOTONIC).expect("a clock");
        let (before, _) = (clock_gettime(ClockId::Monotonic), ());
        call(libc::SYS_clock_gettime, [clock, raw.as_mut_ptr().addr(), 0, 0, 0, 0]).expect("clock_gettime");
        let after = clock_gettime(ClockId::Monotonic);
        let told = (raw[0], raw[1]);
        assert!(
            (before.tv_sec, before.tv_nsec) <= told && told <= (after.tv_sec, after.tv_nsec),
            "the vDSO and the kernel differ"
        );
    }
    let year_2020 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    assert!(SystemTime::now() > year_2020, "the machine's clock was not read");
}

pub fn sleeps() {
    for wanted in [1, 5, 20, 100] {
        let wanted = Duration::from_millis(wanted);
        let begin = Instant::now();
        std::thread::sleep(wanted);
        let slept = begin.elapsed();
        assert!(slept >= wanted, "slept {slept:?} of {wanted:?}");
        // A host that does other things may be late, but not by seconds.
        assert!(slept < wanted + Duration::from_secs(2), "slept {slept:?} of {wanted:?}");
    }
}

/// The clock that timers run by and the clock of the machine agree: the hardware clock counts seconds on its own.
pub fn keeps_pace() {
    // The wall's clock is read between two readings of the other: a host that does other things can come between any two.
    let read = || (Instant::now(), SystemTime::now(), Instant::now());
    let (first, wall, before) = read();
    std::thread::sleep(Duration::from_secs(1));
    let (after, wall_later, last) = read();
    let passed = wall_later.duration_since(wall).expect("a clock that moves on");
    let (least, most) = (after - before, last - first);
    let off = Duration::from_millis(20);
    assert!(passed + off > least && passed < most + off, "{passed:?}, not {least:?} to {most:?}");
}
