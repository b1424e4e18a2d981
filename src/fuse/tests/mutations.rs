//! Feeds the server with mutated messages: the fuzz target in a bounded form that needs no fuzzer. Whatever they say,
//! nothing outside of the folder changes.
//!
//! `A3S_FUZZ_RUNS` sets the number of runs. The seeds are the corpus of the fuzz target.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::Path;

const RUNS: u64 = 20_000;
const LONGEST: usize = 4096;

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
        const TELLING: [u8; 10] = [0, 1, 2, 3, 9, 0x7f, 0x80, 0xff, b'/', b'.'];
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
            // What an operation is, and what it is asked of.
            5 if bytes.len() > 16 => {
                bytes[4] = u8::try_from(dice.below(54)).unwrap();
                bytes[16] = u8::try_from(dice.below(8)).unwrap();
            }
            _ => bytes.extend_from_slice(other),
        }
    }
    bytes.truncate(LONGEST);
}

#[test]
fn no_messages_break_the_server_or_lead_out_of_the_folder() {
    let runs = std::env::var("A3S_FUZZ_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(RUNS);
    let mut seeds: Vec<Vec<u8>> = fs::read_dir(Path::new("fuzz/corpus/message"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("beside"), "untouched").unwrap();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let mut share = a3s_box_fuse::fuzz::begun(&shared);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::new();
    for run in 0..runs {
        if run % 2 == 0 || bytes.is_empty() {
            bytes.clone_from(&seeds[dice.below(seeds.len())]);
        }
        let other = seeds[dice.below(seeds.len())].clone();
        mutate(&mut bytes, &other, &mut dice);
        a3s_box_fuse::fuzz::messages(&share, &bytes);
        if run % 1000 == 999 {
            share = a3s_box_fuse::fuzz::begun(&shared);
        }
    }
    drop(share);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(fs::read(dir.path().join("beside")).unwrap(), b"untouched");
}
