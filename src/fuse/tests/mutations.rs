//! Feeds the server with mutated messages: the fuzz target in a bounded form that needs no fuzzer. Whatever they say,
//! nothing outside of the folder changes.
//!
//! `A3S_FUZZ_RUNS` sets the number of runs. The seeds are the corpus of the fuzz target.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use a3s_box_mutations::{Dice, Mutations, runs};
use std::fs;
use std::path::Path;

const RUNS: u64 = 20_000;
const LONGEST: usize = 4096;
const TELLING: &[u8] = &[0, 1, 2, 3, 9, 0x7f, 0x80, 0xff, b'/', b'.'];

/// What an operation is, and what it is asked of; or another message behind it.
fn own(which: usize, bytes: &mut Vec<u8>, _: usize, other: &[u8], dice: &mut Dice) {
    match which {
        5 if bytes.len() > 16 => {
            bytes[4] = u8::try_from(dice.below(54)).unwrap();
            bytes[16] = u8::try_from(dice.below(8)).unwrap();
        }
        _ => bytes.extend_from_slice(other),
    }
}

#[test]
fn no_messages_break_the_server_or_lead_out_of_the_folder() {
    let mut mutations = Mutations::of(Path::new("fuzz/corpus/message"), TELLING, LONGEST, own);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("beside"), "untouched").unwrap();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let mut share = a3s_box_fuse::fuzz::begun(&shared);
    for run in 0..runs(RUNS) {
        a3s_box_fuse::fuzz::messages(&share, mutations.mutate());
        if run % 1000 == 999 {
            share = a3s_box_fuse::fuzz::begun(&shared);
        }
    }
    drop(share);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(fs::read(dir.path().join("beside")).unwrap(), b"untouched");
}
