//! Running one hook: a program that reads the event, and may take only so long.

use a3s_box_core::{BoxEvent, Hook};
use a3s_box_files::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// The bytes of what a failed hook said that are told.
const TOLD: u64 = 1024;

/// Runs `hook` for `event` and waits for it.
///
/// # Errors
/// Why it did not succeed, ready for a user to read.
pub(crate) fn run(hook: &Hook, event: &BoxEvent) -> Result<(), String> {
    let name = hook.run.first().map_or("", String::as_str);
    let what = format!("hook {name} for {}", event.event);
    let mut said = tempfile::tempfile().map_err(|e| format!("{what}: {e}"))?;
    let ended = start(hook, event, &said).and_then(|mut child| {
        let ended = within(&mut child, Duration::from_millis(hook.timeout_ms));
        if !matches!(ended, Ok(Some(_))) {
            // Whatever it has started goes with it.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            drop(child.wait());
        }
        ended
    });
    match ended {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{what} failed ({status}){}", told(&mut said))),
        Ok(None) => Err(format!("{what} did not end within {} ms{}", hook.timeout_ms, told(&mut said))),
        Err(error) => Err(format!("{what} cannot be run: {error}")),
    }
}

fn start(hook: &Hook, event: &BoxEvent, said: &File) -> io::Result<Child> {
    let (program, args) = hook.run.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // Files, not pipes: a program that neither reads nor stops to write holds nobody up.
    let mut json = tempfile::tempfile()?;
    json.write_all(&serde_json::to_vec(event)?)?;
    json.rewind()?;
    let mut command = Command::new(program);
    command.args(args).current_dir("/").process_group(0);
    command.env("A3S_BOX_EVENT", event.event.to_string());
    command.env("A3S_BOX_ID", event.id.as_str()).env("A3S_BOX_NAME", event.name.as_str());
    command.stdin(json).stdout(said.try_clone()?).stderr(said.try_clone()?);
    command.spawn()
}

/// How `child` ended; none where it has not within `patience`.
fn within(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidData)?;
    // It is our child and not yet waited for, so the number is still its own.
    let fd = Process::end_of(pid)?;
    let timeout = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout))?;
    child.try_wait()
}

/// The first of what it said, in one line.
fn told(said: &mut File) -> String {
    let mut bytes = Vec::new();
    drop(said.rewind().and_then(|()| said.take(TOLD).read_to_end(&mut bytes)));
    let text = String::from_utf8_lossy(&bytes);
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.is_empty() { clean } else { format!(": {clean}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Teller;
    use a3s_box_core::{BoxId, EventKind};

    fn event() -> BoxEvent {
        BoxEvent {
            time: 1,
            event: EventKind::Ready,
            id: BoxId::from_bytes([7; 16]),
            name: "it".parse().unwrap(),
            image: "busybox".into(),
            labels: Default::default(),
            attributes: Default::default(),
        }
    }

    fn hook(script: &str) -> Hook {
        let run = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Hook { on: vec![EventKind::Ready], run, timeout_ms: 20_000, required: true }
    }

    #[test]
    fn a_hook_reads_the_event() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seen");
        let script = format!("echo $A3S_BOX_EVENT $A3S_BOX_NAME > {0}; cat >> {0}", file.display());
        run(&hook(&script), &event()).unwrap();
        let seen = std::fs::read_to_string(&file).unwrap();
        let (first, json) = seen.split_once('\n').unwrap();
        assert_eq!(first, "ready it");
        assert_eq!(serde_json::from_str::<BoxEvent>(json).unwrap(), event());
    }

    #[test]
    fn a_failure_says_what_the_hook_said() {
        let error = run(&hook("echo no \x1b[31mway >&2; exit 3"), &event()).unwrap_err();
        assert!(error.contains("exit status: 3") && error.contains("no  [31mway"), "{error}");
        let missing = Hook { run: vec!["/no/such/hook".into()], ..hook("") };
        assert!(run(&missing, &event()).unwrap_err().contains("/no/such/hook"));
    }

    #[test]
    fn a_hook_that_does_not_end_is_killed_with_all_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let slow =
            Hook { timeout_ms: 200, ..hook(&format!("sleep 1000 & echo $! > {}; wait", file.display())) };
        let error = run(&slow, &event()).unwrap_err();
        assert!(error.contains("within 200 ms"), "{error}");
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "it lives: {stat}");
    }

    #[test]
    fn only_a_required_hook_stops_what_is_going_on() {
        let dir = tempfile::tempdir().unwrap();
        let fails = Hook { required: false, ..hook("exit 1") };
        let mut teller = Teller { log: dir.path().join("events.jsonl"), hooks: vec![fails.clone()] };
        teller.run_hooks(&event()).unwrap();
        teller.hooks.push(Hook { required: true, ..fails });
        assert!(teller.run_hooks(&event()).is_err());
        teller.run_hooks(&BoxEvent { event: EventKind::Died, ..event() }).unwrap();
    }
}
