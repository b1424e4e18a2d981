//! The first process of a guest that does nothing but find out whether its kernel keeps its promises to programs.
//!
//! Every case runs in a process of its own, with a deadline, so that one that is killed or hangs is told apart from one
//! that found something wrong. The console gets a line for each; the machine is reset at the end. Whoever boots it
//! (`cargo xtask kernel-test`) reads the lines. Knows nothing of boxes.

mod cases;
#[cfg(target_arch = "x86_64")]
mod cpu;
mod sys;
#[cfg(target_arch = "x86_64")]
mod traps;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use rustix::system::{RebootCommand, reboot};
use std::time::{Duration, Instant};

/// How long a case may take, emulated and on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

fn main() {
    let mut words = std::env::args().skip(1);
    // Cases run this program again as the image of a new process.
    if words.next().as_deref() == Some(cases::exec::CHILD) {
        cases::exec::child(words);
    }
    prepare();
    let asked = option("conformance.only");
    let rounds = option("conformance.rounds").and_then(|n| n.parse().ok()).unwrap_or(1_u32);
    let devices = option("conformance.devices").unwrap_or_default();
    let there = |(name, _): &&(&str, fn())| devices.split(',').any(|device| device == *name);
    let (mut passed, mut failed) = (0, 0);
    for round in 0..rounds {
        for (name, case) in cases::ALL.iter().chain(cases::DEVICES.iter().filter(there)) {
            if asked.as_ref().is_some_and(|part| !name.contains(part.as_str())) {
                continue;
            }
            let begin = Instant::now();
            match run(*case) {
                Ok(()) => passed += 1,
                Err(why) => {
                    failed += 1;
                    println!("case {name} FAILED in round {round}: {why}");
                    continue;
                }
            }
            if round == 0 {
                println!("case {name} passed in {} ms", begin.elapsed().as_millis());
            }
        }
    }
    println!("conformance: {passed} passed, {failed} failed");
    // The console's last bytes are on their way once this returns.
    let _ = rustix::termios::tcdrain(std::io::stdout());
    let _ = reboot(RebootCommand::Restart);
}

/// Mounts what the cases look at.
fn prepare() {
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("cgroup2", "/sys/fs/cgroup"),
    ] {
        let _ = std::fs::create_dir_all(at);
        if let Err(error) = mount(kind, at, kind, MountFlags::empty(), None::<&std::ffi::CStr>) {
            println!("case mount-{kind} FAILED: {error}");
        }
    }
    for dir in ["/dev/shm", "/dev/pts"] {
        let _ = std::fs::create_dir_all(dir);
    }
}

/// The value of `name` on the kernel's command line.
fn option(name: &str) -> Option<String> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Runs `case` in a process of its own.
fn run(case: fn()) -> Result<(), String> {
    // What earlier cases left behind.
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
    let child = sys::fork(case).map_err(|error| format!("fork: {error}"))?;
    let pidfd = pidfd_open(child, PidfdFlags::empty()).map_err(|error| format!("pidfd_open: {error}"))?;
    let deadline = Timespec { tv_sec: PATIENCE.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&deadline));
    if !matches!(ended, Ok(1)) {
        let _ = kill_process(child, Signal::KILL);
        reap(child)?;
        return Err(format!("no end after {} s", PATIENCE.as_secs()));
    }
    reap(child)
}

/// How `child` ended.
fn reap(child: Pid) -> Result<(), String> {
    let (_, status) =
        waitpid(Some(child), WaitOptions::empty()).map_err(|e| e.to_string())?.ok_or("no child")?;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, signal) => Err(format!("killed by signal {}", signal.unwrap_or_default())),
    }
}
