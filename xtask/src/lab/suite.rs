//! The end-to-end tests in the lab, all of them, in as many machines as it takes.
//!
//! Each test is a process of its own that tells how it went, so a machine that hangs costs no more than the test under
//! way, which is tried again in the next one.

use super::{End, KvmLab, MACHINES, PATIENCE};
use crate::e2e;
use crate::step::quietly;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::process::Command;

/// So many tests share a machine: what a hung one takes along is little, and to boot another costs a tenth of it.
const IN_ONE: usize = 16;
/// The seconds that a test may take.
const TEST_TAKES: &str = "1200";
const SCRIPT: &str = include_str!("../lab-suite.sh");

/// How tests went.
#[derive(Default)]
struct Tally {
    passed: usize,
    not_here: Vec<String>,
    failed: Vec<String>,
}

impl KvmLab {
    /// Runs the tests whose names hold one of the words of the command, or all, on `vmm`. The exit code.
    pub(super) fn suite(&self, vmm: &str) -> Result<u8> {
        let mut left = names(&self.command)?;
        let all = left.len();
        ensure!(all > 0, "no test is called so");
        let (mut tally, mut tries) = (Tally::default(), BTreeMap::new());
        while !left.is_empty() {
            let now = &left[..left.len().min(IN_ONE)];
            let command = format!(
                "export A3S_BOX_VMM={vmm} TEST_TAKES={TEST_TAKES}\nset -- {}\n{SCRIPT}",
                now.join(" ")
            );
            let (end, told) = self.boot(&command, PATIENCE)?;
            let heard = tally.hear(&told);
            left.retain(|test| !heard.contains(test));
            let ended = matches!(end, End::Code(0));
            ensure!(!ended || !heard.is_empty(), "the lab told of no test");
            // The machine's doing, or the test's: one that no machine survives is the test's.
            if let Some(under_way) = left.first().filter(|_| !ended) {
                let tried: &mut usize = tries.entry(under_way.clone()).or_default();
                *tried += 1;
                if *tried == MACHINES {
                    tally.failed.push(left.remove(0));
                }
            }
            println!("    {} of {all} tests are left", left.len());
        }
        tally.show(vmm, all);
        Ok(if tally.failed.is_empty() { 0 } else { 1 })
    }
}

impl Tally {
    /// Counts what a machine has told: lines such as `passed exec::many_execs_run_at_once in 20 s`. The tests' names.
    fn hear(&mut self, told: &str) -> Vec<String> {
        let mut heard = Vec::new();
        for line in told.lines() {
            let mut words = line.split(' ');
            let (Some(went), Some(test)) = (words.next(), words.next()) else { continue };
            match went {
                "passed" => self.passed += 1,
                "not-here" => self.not_here.push(test.to_owned()),
                "failed" => self.failed.push(test.to_owned()),
                _ => continue,
            }
            heard.push(test.to_owned());
        }
        heard
    }

    fn show(&self, vmm: &str, all: usize) {
        for (what, tests) in [("cannot run there", &self.not_here), ("failed", &self.failed)] {
            for test in tests {
                println!("{what}: {test}");
            }
        }
        let (passed, not_here, failed) = (self.passed, self.not_here.len(), self.failed.len());
        println!(
            "{vmm}/kvm in the lab: of {all} tests {passed} passed, {not_here} cannot run there, {failed} failed"
        );
    }
}

/// The tests whose names hold one of `words`, or all.
fn names(words: &[String]) -> Result<Vec<String>> {
    let listed = quietly(Command::new(e2e::program()?).args(["--list", "--format=terse"]).args(words))?;
    Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_before_a_hang_counts() {
        let mut tally = Tally::default();
        let told = ".\npassed a::b in 3 s\n.\n.\nfailed c::d in 4 s\nnot-here e::f in 0 s\n.\n";
        assert_eq!(tally.hear(told), ["a::b", "c::d", "e::f"]);
        assert_eq!((tally.passed, tally.failed.len(), tally.not_here.len()), (1, 1, 1));
        assert!(tally.hear("0\n").is_empty());
    }
}
