//! Feeds every parser with mutated seeds: the fuzz targets in a bounded form that needs no fuzzer.
//!
//! `A3S_FUZZ_RUNS` sets the runs of each target, `A3S_FUZZ_TARGET` names one of them. The seeds are the corpus of the fuzz targets.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use a3s_box_mutations::{Dice, Mutations, runs};
use std::path::Path;

const RUNS: u64 = 100_000;
const LONGEST: usize = 2048;
const TELLING: &[u8] = &[0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, b'\r', b'\n', b' ', b':'];

/// A part of another seed, or a number of two bytes.
fn own(which: usize, bytes: &mut Vec<u8>, at: usize, other: &[u8], dice: &mut Dice) {
    match which {
        5 => {
            let from = dice.below(other.len());
            let to = from + dice.below(other.len() - from);
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        _ if at + 2 <= bytes.len() => {
            let number = u16::try_from(dice.below(1 << 16)).unwrap();
            bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
        }
        _ => {}
    }
}

#[test]
fn no_bytes_break_a_parser() {
    let runs = runs(RUNS);
    let only = std::env::var("A3S_FUZZ_TARGET").ok();
    for (name, target) in a3s_box_net::fuzz::TARGETS {
        if only.as_deref().is_some_and(|only| only != *name) {
            continue;
        }
        let start = std::time::Instant::now();
        let mut mutations = Mutations::of(&Path::new("fuzz/corpus").join(name), TELLING, LONGEST, own);
        mutations.seeds().for_each(target);
        for _ in 0..runs {
            target(mutations.mutate());
        }
        println!("{name}: {runs} runs in {:?}", start.elapsed());
    }
}
