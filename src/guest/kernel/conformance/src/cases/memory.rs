//! Page tables, made and torn down.

use crate::sys::{Map, fork, wait};
use std::sync::atomic::Ordering;

const PAGE: usize = 4096;

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit
    }
}

/// Mappings that come, grow, shrink, lose pages and go, each remembering what was written to it.
pub fn churn() {
    let mut random = Random(1);
    let mut maps: Vec<(Map, usize, Vec<u8>)> = Vec::new();
    for turn in 0..3_000_usize {
        if maps.len() < 24 || random.below(3) == 0 {
            let pages = 1 + random.below(64);
            maps.push((Map::new(pages * PAGE, false), pages, vec![0; pages]));
        }
        let chosen = random.below(maps.len());
        let (map, pages, held) = &mut maps[chosen];
        for _ in 0..8 {
            let page = random.below(*pages);
            assert_eq!(map.bytes()[page * PAGE + 9], held[page], "turn {turn}");
            held[page] = turn.to_le_bytes()[0];
            map.bytes()[page * PAGE + 9] = held[page];
        }
        match random.below(6) {
            0 => drop(maps.swap_remove(chosen)),
            1 => {
                let page = random.below(*pages);
                map.advise(page * PAGE, PAGE, libc::MADV_DONTNEED);
                held[page] = 0;
            }
            2 => {
                let now = 1 + random.below(64);
                map.resize(now * PAGE);
                held.resize(now, 0);
                *pages = now;
            }
            3 => {
                let page = random.below(*pages);
                map.protect(page * PAGE, PAGE, libc::PROT_READ);
                assert_eq!(map.bytes()[page * PAGE + 9], held[page]);
                map.protect(page * PAGE, PAGE, libc::PROT_READ | libc::PROT_WRITE);
            }
            _ => {}
        }
    }
}

/// Copies to memory that is not there yet, by several processes: the C library copies with whatever registers the
/// processor has, and every fault in the middle of a copy may lead to another process and back.
pub fn copies() {
    let copiers: Vec<_> = (0..3_u8)
        .map(|me| {
            fork(move || {
                let source: Vec<u8> = (0..40 * PAGE).map(|i| (i % 251).to_le_bytes()[0] ^ me).collect();
                for turn in 0..400_usize {
                    let mut map = Map::new(48 * PAGE, false);
                    let (from, to) = (turn * 13 % 64, 16 + turn % 64);
                    for part in 0..4 {
                        let (from, to) = (from + part * 9 * PAGE, to + part * 10 * PAGE);
                        map.bytes()[to..][..8 * PAGE].copy_from_slice(&source[from..][..8 * PAGE]);
                    }
                    for part in 0..4 {
                        let (from, to) = (from + part * 9 * PAGE, to + part * 10 * PAGE);
                        assert!(map.bytes()[to..][..8 * PAGE] == source[from..][..8 * PAGE], "turn {turn}");
                    }
                }
            })
        })
        .collect();
    for copier in copiers {
        let status = wait(copier.expect("fork").as_raw_pid());
        assert_eq!(status, 0, "a process whose copies were whole");
    }
}

pub fn copy_on_write() {
    let mut map = Map::new(256 * PAGE, false);
    map.bytes().iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    for generation in 2..6_u8 {
        let child = fork(|| {
            assert!(map.bytes().iter().step_by(PAGE).all(|byte| *byte == generation - 1));
            map.bytes().iter_mut().step_by(PAGE).for_each(|byte| *byte = 99);
            let grandchild =
                fork(|| assert!(map.bytes().iter().step_by(PAGE).all(|byte| *byte == 99))).expect("fork");
            assert_eq!(wait(grandchild.as_raw_pid()), 0);
        })
        .expect("fork");
        assert_eq!(wait(child.as_raw_pid()), 0, "generation {generation}");
        assert!(map.bytes().iter().step_by(PAGE).all(|byte| *byte == generation - 1));
        map.bytes().iter_mut().step_by(PAGE).for_each(|byte| *byte = generation);
    }
}

pub fn huge_pages() {
    const LEN: usize = 16 << 20;
    let mut map = Map::new(LEN, false);
    map.advise(0, LEN, libc::MADV_HUGEPAGE);
    map.bytes().chunks_mut(PAGE).enumerate().for_each(|(i, page)| page[0] = i.to_le_bytes()[0]);
    // Splits a huge page, then others.
    map.advise(PAGE, PAGE, libc::MADV_DONTNEED);
    map.protect(4 << 20, PAGE, libc::PROT_READ);
    let child = fork(|| map.bytes().fill(7)).expect("fork");
    assert_ne!(wait(child.as_raw_pid()), 0, "a write to the page made read-only");
    let right = |(i, page): (usize, &[u8])| page[0] == if i == 1 { 0 } else { i.to_le_bytes()[0] };
    assert!(map.bytes().chunks(PAGE).enumerate().all(right));
}

pub fn shared() {
    let map = Map::new(PAGE, true);
    let turns = 20_000;
    let children: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                for _ in 0..turns {
                    map.counter(64).fetch_add(1, Ordering::Relaxed);
                }
            })
            .expect("fork")
        })
        .collect();
    for child in children {
        assert_eq!(wait(child.as_raw_pid()), 0);
    }
    assert_eq!(map.counter(64).load(Ordering::Relaxed), 3 * turns);
}

/// A program that takes all memory is killed, and the rest goes on.
pub fn runs_out() {
    let child = fork(|| {
        std::fs::write("/proc/self/oom_score_adj", "1000").expect("oom_score_adj");
        let mut held = Vec::new();
        loop {
            let mut map = Map::new(8 << 20, false);
            map.bytes().iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
            held.push(map);
        }
    })
    .expect("fork");
    assert_eq!(wait(child.as_raw_pid()) & 0x7f, libc::SIGKILL);
}
