//! What tests are written in: a state directory of a test's own ([`Home`]), commands of `a3s-box` in it with a
//! deadline ([`A3s`], [`Running`]), a terminal ([`pty::Terminal`]), a registry ([`Registry`]), and an internet
//! ([`Internet`]).
//!
//! Programs and images come from `cargo xtask e2e`, in the environment.

mod command;
mod guest;
mod home;
mod internet;
pub mod pty;
#[cfg(target_arch = "x86_64")]
pub mod puppet;
mod registry;

pub use command::{A3s, Out, Running, same_environment};
pub use home::{Home, Kernel};
pub use internet::{Internet, OTHER, SERVER, SERVER6};
pub use registry::Registry;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How many times more patient tests are than on a machine of the usual speed: the KVM lab sets it.
pub static TIMES: LazyLock<u32> =
    LazyLock::new(|| std::env::var("A3S_TEST_PATIENCE").map_or(1, |times| times.parse().unwrap()));

/// The longest that any single step of a test may take; emulation on a busy machine is slow.
pub static PATIENCE: LazyLock<Duration> = LazyLock::new(|| Duration::from_secs(300) * *TIMES);

/// What `cargo xtask e2e` has put at the path that the variable `name` holds.
pub fn given(name: &str) -> PathBuf {
    std::env::var_os(name)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{name} is not set: run these tests with `cargo xtask e2e`"))
}

/// Says why a test cannot run where it was started: the KVM lab counts it apart from those that passed.
pub fn not_here(why: &str) {
    println!("not here: {why}");
}

/// Asks `question` again until it has an answer, and fails when there is none in time.
pub fn eventually<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + *PATIENCE;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {:?}: {what}", *PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The memory in bytes that is a process's alone, by its own account; none once it is gone.
pub fn private_memory(pid: i32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.map(|line| line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap());
    Some(kib.sum::<u64>() << 10)
}

/// The most memory in bytes that a process has held at once, its own and what it shares; none once it is gone.
pub fn most_memory(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
