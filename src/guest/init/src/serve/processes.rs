//! `Processes`: what runs in the box, with the ids that the box sees.

use crate::boot::CGROUP;
use a3s_box_agent::proto::agent::{Process, ProcessesReply};
use rustix::process::{Pid, PidfdFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use tonic::Status;

/// The most that is told; a box with more processes is in trouble that a list does not explain.
const MAX_PROCESSES: usize = 4096;
const MAX_COMMAND: u64 = 1024;
/// A clock tick in milliseconds: what user space sees is 100 in a second on every architecture.
const TICK_MS: u64 = 10;
/// How many processes are read before others get their turn.
const TURN: usize = 32;

pub(super) async fn processes() -> Result<ProcessesReply, Status> {
    let pids = members().map_err(|e| Status::internal(format!("cannot list the box's cgroup: {e}")))?;
    let mut ids = HashMap::new();
    let mut processes = Vec::new();
    for (n, pid) in pids.iter().take(MAX_PROCESSES).enumerate() {
        // Whatever ends meanwhile is left out.
        if let Some(process) = describe(*pid) {
            ids.insert(*pid, process.pid);
            processes.push(process);
        }
        if n % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    for process in &mut processes {
        process.ppid = ids.get(&process.ppid).copied().unwrap_or(0);
    }
    processes.sort_by_key(|process| process.pid);
    Ok(ProcessesReply { processes })
}

/// A descriptor of the process that the box knows as `pid`.
pub(super) fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    for candidate in members()? {
        if box_pid(candidate) != Some(pid) {
            continue;
        }
        let Some(outer) = Pid::from_raw(candidate) else { continue };
        let pidfd = match rustix::process::pidfd_open(outer, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => continue,
            other => other?,
        };
        // The descriptor means this process for good; that it is the right one shows only now.
        if box_pid(candidate) == Some(pid) {
            return Ok(Some(pidfd));
        }
    }
    Ok(None)
}

/// The processes of the box, by the guest's ids.
fn members() -> io::Result<Vec<i32>> {
    let list = std::fs::read_to_string(format!("{CGROUP}/cgroup.procs"))?;
    Ok(list.lines().filter_map(|line| line.parse().ok()).collect())
}

fn box_pid(pid: i32) -> Option<i32> {
    Facts::read(pid)?.box_pid
}

fn describe(pid: i32) -> Option<Process> {
    let status = Facts::read(pid)?;
    Some(Process {
        pid: status.box_pid?,
        ppid: status.parent,
        uid: status.uid,
        cpu_ms: cpu_ms(&read(pid, "stat", 4096)?).unwrap_or(0),
        rss: status.rss_kib * 1024,
        command: command(&read(pid, "cmdline", MAX_COMMAND)?, &status.name),
        state: status.state,
    })
}

fn read(pid: i32, file: &str, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}")).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// What of `/proc/PID/status` is wanted (proc_pid_status(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    name: String,
    state: String,
    /// By the guest's ids.
    parent: i32,
    uid: u32,
    rss_kib: u64,
    /// The id in the namespace below the guest's own, which is the box's.
    box_pid: Option<i32>,
}

impl Facts {
    fn read(pid: i32) -> Option<Self> {
        Some(Self::parse(&String::from_utf8_lossy(&read(pid, "status", 16 << 10)?)))
    }

    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut words = value.split_ascii_whitespace();
            match key {
                "Name" => value.trim().clone_into(&mut status.name),
                "State" => words.next().unwrap_or_default().clone_into(&mut status.state),
                "PPid" => status.parent = number(words.next()),
                "Uid" => status.uid = number(words.next()),
                "VmRSS" => status.rss_kib = number(words.next()),
                "NSpid" => status.box_pid = words.nth(1).and_then(|pid| pid.parse().ok()),
                _ => {}
            }
        }
        status
    }
}

fn number<T: std::str::FromStr + Default>(word: Option<&str>) -> T {
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Fields 14 and 15 of `/proc/PID/stat`. The name before them may hold anything, a `)` too.
fn cpu_ms(stat: &[u8]) -> Option<u64> {
    let stat = String::from_utf8_lossy(stat);
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()?.saturating_add(ticks()?)).saturating_mul(TICK_MS))
}

/// The command line, or the name in brackets where there is none.
fn command(cmdline: &[u8], name: &str) -> String {
    let line: Vec<u8> = cmdline.iter().map(|b| if *b == 0 { b' ' } else { *b }).collect();
    let line = String::from_utf8_lossy(&line);
    match line.trim_end() {
        "" => format!("[{name}]"),
        line => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boxs_id_is_the_second_one() {
        let text = "Name:\tsh: x\nState:\tS (sleeping)\nPPid:\t41\nUid:\t1000\t0\t0\t0\nNSpid:\t345\t12\t1\nVmRSS:\t  1024 kB\n";
        let expected = Facts {
            name: "sh: x".into(),
            state: "S".into(),
            parent: 41,
            uid: 1000,
            rss_kib: 1024,
            box_pid: Some(12),
        };
        assert_eq!(Facts::parse(text), expected);
        assert_eq!(Facts::parse("NSpid:\t345\n").box_pid, None, "a process outside the box");
        assert_eq!(Facts::parse("garbage"), Facts::default());
    }

    #[test]
    fn names_do_not_shift_the_times() {
        let stat = b"7 (a) b) c) S 1 7 7 0 -1 4194560 10 0 0 0 150 25 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_ms(stat), Some(1750));
        assert_eq!(cpu_ms(b"7 (x"), None);
    }

    #[test]
    fn a_command_is_its_arguments_or_its_name() {
        assert_eq!(command(b"sh\0-c\0echo a  b\0", "sh"), "sh -c echo a  b");
        assert_eq!(command(b"", "zombie"), "[zombie]");
    }
}
