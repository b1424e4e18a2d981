//! Signals between processes.

use crate::sys::{alarm_every, count_signals, fork, raise, signals, wait};
use rustix::pipe::pipe;
use rustix::process::{Signal, kill_process};
use std::io::{Read, Write};

pub fn all_arrive() {
    count_signals(libc::SIGUSR1, 0);
    for sent in 0..5_000 {
        assert_eq!(signals(), sent);
        raise(libc::SIGUSR1);
    }
    // Asynchronous ones, into a program that computes and calls the kernel in turns.
    let before = signals();
    count_signals(libc::SIGALRM, libc::SA_RESTART);
    alarm_every(2_000);
    let mut sum = 0_u64;
    while signals() < before + 200 {
        sum = (0..1_000).fold(sum, |sum, i| std::hint::black_box(sum.wrapping_mul(31).wrapping_add(i)));
        let _ = rustix::process::getppid();
    }
    alarm_every(0);
}

pub fn interrupt_and_restart() {
    let (read, write) = pipe().expect("pipe");
    let (mut read, mut write) = (std::fs::File::from(read), std::fs::File::from(write));
    count_signals(libc::SIGALRM, 0);
    alarm_every(5_000);
    let error = read.read(&mut [0; 8]).expect_err("a read that a signal interrupts");
    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
    count_signals(libc::SIGALRM, libc::SA_RESTART);
    let writer = fork(|| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        write.write_all(b"restarted").expect("write");
    })
    .expect("fork");
    let mut got = [0; 9];
    read.read_exact(&mut got).expect("a read that goes on after signals");
    assert_eq!(&got, b"restarted");
    alarm_every(0);
    wait(writer.as_raw_pid());
}

pub fn kill() {
    for signal in [Signal::TERM, Signal::KILL, Signal::QUIT] {
        let child = fork(|| {
            loop {
                std::hint::spin_loop();
            }
        })
        .expect("fork");
        kill_process(child, signal).expect("kill");
        assert_eq!(wait(child.as_raw_pid()) & 0x7f, signal.as_raw());
    }
}

/// Returning to an address that is none kills the program, not the kernel.
#[cfg(target_arch = "x86_64")]
pub fn return_to_nowhere() {
    let child = fork(crate::cpu::return_to_nowhere).expect("fork");
    assert_eq!(wait(child.as_raw_pid()) & 0x7f, libc::SIGSEGV);
}
