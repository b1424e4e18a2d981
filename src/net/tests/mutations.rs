//! Feeds every parser with mutated seeds: the fuzz targets in a bounded form that needs no fuzzer.
//!
//! `A3S_FUZZ_RUNS` sets the runs of each target, `A3S_FUZZ_TARGET` names one of them. The seeds are the corpus of the fuzz targets.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::Path;

const RUNS: u64 = 100_000;
const LONGEST: usize = 2048;

/// The same throws in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 12] = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, b'\r', b'\n', b' ', b':'];
        if self.below(2) == 0 { TELLING[self.below(TELLING.len())] } else { self.0.to_le_bytes()[3] }
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1).min(bytes.len());
        match dice.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.byte(),
            2 => bytes.insert(at, dice.byte()),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
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
    bytes.truncate(LONGEST);
}

#[test]
fn no_bytes_break_a_parser() {
    let runs = std::env::var("A3S_FUZZ_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(RUNS);
    let only = std::env::var("A3S_FUZZ_TARGET").ok();
    for (name, target) in a3s_box_net::fuzz::TARGETS {
        if only.as_deref().is_some_and(|only| only != *name) {
            continue;
        }
        let start = std::time::Instant::now();
        let folder = Path::new("fuzz/corpus").join(name);
        let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        seeds.sort();
        seeds.iter().for_each(|seed| target(seed));
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut bytes = Vec::new();
        for run in 0..runs {
            // Every other run goes on from the last one's bytes.
            if run % 2 == 0 || bytes.is_empty() {
                bytes.clone_from(&seeds[dice.below(seeds.len())]);
            }
            let other = seeds[dice.below(seeds.len())].clone();
            mutate(&mut bytes, &other, &mut dice);
            target(&bytes);
        }
        println!("{name}: {runs} runs in {:?}", start.elapsed());
    }
}
