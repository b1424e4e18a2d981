//! Bytes that are almost what a parser expects: the corpus of a fuzz target, mutated. It needs no fuzzer, and throws the
//! same in every run. Tests of parsers call it; what their kind of bytes needs beside the usual mutations they say.
#![forbid(unsafe_code)]

use std::path::Path;

/// The same throws in every run.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// A number below `limit`.
    ///
    /// # Panics
    /// Never: the number fits.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.0 % limit).unwrap_or_default()
    }

    fn byte(&mut self, telling: &[u8]) -> u8 {
        if self.below(2) == 0 { telling[self.below(telling.len())] } else { self.0.to_le_bytes()[3] }
    }
}

/// A mutation of a test's own: of these bytes, at that place, with another seed.
pub type Own = fn(usize, &mut Vec<u8>, usize, &[u8], &mut Dice);

/// How many runs `A3S_FUZZ_RUNS` asks for, or else `usual`.
#[must_use]
pub fn runs(usual: u64) -> u64 {
    std::env::var("A3S_FUZZ_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The mutated seeds of one corpus.
#[derive(Debug)]
pub struct Mutations {
    seeds: Vec<Vec<u8>>,
    dice: Dice,
    bytes: Vec<u8>,
    telling: &'static [u8],
    longest: usize,
    run: u64,
    own: Own,
}

impl Mutations {
    /// Those of the files in `folder`, of at most `longest` bytes, with bytes that are `telling` more often than others.
    ///
    /// # Panics
    /// Where the corpus cannot be read.
    #[must_use]
    pub fn of(folder: &Path, telling: &'static [u8], longest: usize, own: Own) -> Self {
        let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry?.path());
        let seeds = std::fs::read_dir(folder).and_then(|entries| entries.map(read).collect());
        let mut seeds: Vec<Vec<u8>> = seeds.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        seeds.sort();
        Self { seeds, dice: Dice(0x9e37_79b9_7f4a_7c15), bytes: Vec::new(), telling, longest, run: 0, own }
    }

    /// The seeds as they are.
    pub fn seeds(&self) -> impl Iterator<Item = &[u8]> {
        self.seeds.iter().map(Vec::as_slice)
    }

    /// The next bytes. Every other time they go on from the last ones.
    pub fn mutate(&mut self) -> &[u8] {
        if self.run.is_multiple_of(2) || self.bytes.is_empty() {
            self.bytes.clone_from(&self.seeds[self.dice.below(self.seeds.len())]);
        }
        self.run += 1;
        let (bytes, dice) = (&mut self.bytes, &mut self.dice);
        let other = &self.seeds[dice.below(self.seeds.len())];
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() + 1).min(bytes.len());
            match dice.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
                1 if at < bytes.len() => bytes[at] = dice.byte(self.telling),
                2 => bytes.insert(at, dice.byte(self.telling)),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                4 => bytes.truncate(at),
                which => (self.own)(which, bytes, at, other, dice),
            }
        }
        bytes.truncate(self.longest);
        bytes
    }
}
