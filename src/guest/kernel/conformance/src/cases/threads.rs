//! Threads, and what a switch between them must keep.

use crate::sys::{self, fork};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

const THREADS: u64 = 8;

pub fn contend() {
    let state = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let turns = 500;
    let workers: Vec<_> = (0..THREADS)
        .map(|me| {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for _ in 0..turns {
                    // In turns, so that every step is a switch.
                    let mut turn = state
                        .1
                        .wait_while(state.0.lock().expect("lock"), |turn| *turn % THREADS != me)
                        .expect("wait");
                    *turn += 1;
                    state.1.notify_all();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a thread");
    }
    assert_eq!(*state.0.lock().expect("lock"), THREADS * turns);
}

#[cfg(target_arch = "x86_64")]
pub fn keep_vectors() {
    let workers: Vec<_> = (0..THREADS)
        .map(|me| {
            std::thread::spawn(move || {
                let begin = Instant::now();
                let mut round = 0;
                while begin.elapsed() < Duration::from_secs(2) {
                    round += 1;
                    assert!(
                        crate::cpu::vectors_survive(me * 1_000_003 + round, 2_000_000),
                        "thread {me}, round {round}"
                    );
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a thread whose vector registers were kept");
    }
}

/// The registers of AVX-512, which programs use wherever the processor shows them to have it.
#[cfg(target_arch = "x86_64")]
pub fn keep_wide_vectors() {
    if !crate::cpu::has_wide_vectors() {
        return;
    }
    sys::count_signals(libc::SIGALRM, libc::SA_RESTART);
    let workers: Vec<_> = (0..THREADS)
        .map(|me| {
            fork(move || {
                // Signals put the registers on the stack and take them back.
                sys::alarm_every(700);
                let begin = Instant::now();
                let mut round = 0;
                while begin.elapsed() < Duration::from_secs(2) {
                    round += 1;
                    let survived = crate::cpu::wide_vectors_survive(me * 1_000_003 + round, 1_000_000);
                    assert!(survived, "process {me}, round {round}");
                }
            })
        })
        .collect();
    for worker in workers {
        assert_eq!(sys::wait(worker.expect("fork").as_raw_pid()), 0, "a process whose registers were kept");
    }
}

/// Tiles are kept, or refused: a program must not find another's in them.
#[cfg(target_arch = "x86_64")]
pub fn keep_tiles() {
    if !crate::cpu::has_tiles() {
        return;
    }
    let workers: Vec<_> = (0..4)
        .map(|me| {
            fork(move || {
                for signal in [libc::SIGILL, libc::SIGSEGV] {
                    crate::traps::recover_from(signal);
                }
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_secs(1) {
                    let wanted = [me * 1_000_003 + u64::from(begin.elapsed().subsec_nanos()); 128];
                    crate::cpu::load_tile(&wanted);
                    if crate::traps::take_fault().is_some() {
                        return;
                    }
                    // Long enough for the others to have a turn.
                    let spin = Instant::now();
                    while spin.elapsed() < Duration::from_millis(20) {}
                    let mut got = [0; 128];
                    crate::cpu::store_tile(&mut got);
                    assert!(crate::traps::take_fault().is_none() && got == wanted, "process {me}");
                }
            })
        })
        .collect();
    for worker in workers {
        assert_eq!(sys::wait(worker.expect("fork").as_raw_pid()), 0, "a process whose tiles were kept");
    }
}

#[cfg(target_arch = "x86_64")]
pub fn keep_segments() {
    const ARCH_SET_GS: usize = 0x1001;
    let workers: Vec<_> = (0..THREADS)
        .map(|me| {
            std::thread::spawn(move || {
                let words = Box::new([me * 3 + 1; 2]);
                crate::sys::call(libc::SYS_arch_prctl, [ARCH_SET_GS, words.as_ptr().addr(), 0, 0, 0, 0])
                    .expect("ARCH_SET_GS");
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_millis(500) {
                    for _ in 0..1_000 {
                        assert_eq!(crate::cpu::gs_word(), words[0]);
                    }
                    if me % 2 == 0 {
                        std::thread::yield_now();
                    }
                    assert_eq!(crate::cpu::gs_word(), words[0]);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a thread whose segments were kept");
    }
}

/// A thread that never calls the kernel does not keep another from running.
pub fn are_preempted() {
    let (done, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(3)));
    let spinners: Vec<_> = (0..2)
        .map(|_| {
            let (done, ready) = (Arc::clone(&done), Arc::clone(&ready));
            std::thread::spawn(move || {
                ready.wait();
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    ready.wait();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(1));
    }
    done.store(true, Ordering::Relaxed);
    for spinner in spinners {
        spinner.join().expect("a thread");
    }
}
