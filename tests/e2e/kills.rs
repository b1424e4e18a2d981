//! `kill -9` of the command, of the shim and of the VMM, at boot, while running and while stopping: nothing is
//! left over, and `ps -a` tells the truth.

use crate::harness::{Home, Running, eventually};
use rustix::process::{Pid, Signal, kill_process};

#[derive(Clone, Copy, PartialEq)]
enum When {
    Boot,
    Running,
    Stopping,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Command,
    Shim,
    Vmm,
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Brings a box called `k` to where it is to be hit. The command that is under way then.
fn bring(home: &Home, when: When) -> Running {
    let script = "trap '' TERM; echo up; while :; do sleep 0.2; done";
    let run = ["run", "--name", "k", "--boot-timeout", "200", "busybox", "sh", "-c", script];
    match when {
        When::Boot => {
            // A guest that stays on its way: it is hit there however slow the test is.
            let guest = home.hanging_guest();
            let command = home.a3s(&run).env("A3S_BOX_KERNEL_DIR", guest).spawn();
            eventually("a VMM", || {
                let known = home.state("k").is_some();
                (known && home.pid("k", "vmm").is_some()).then_some(())
            });
            assert_eq!(home.state("k").unwrap(), "starting");
            command
        }
        When::Running => {
            let command = home.a3s(&run).spawn();
            eventually("a running box", || (home.state("k").as_deref() == Some("running")).then_some(()));
            command
        }
        When::Stopping => {
            home.start("k", &[], script);
            let command = home.a3s(&["stop", "-t", "60", "k"]).spawn();
            // The shim has heard it once the process has; that it ignores the signal is what keeps the box here.
            home.exec("k", "sleep 0.5");
            command
        }
    }
}

fn hit(when: When, who: Who) {
    let home = Home::new();
    let mut command = bring(&home, when);
    match who {
        Who::Command => {
            command.kill();
            // The box does not depend on its client.
            let state = home.state("k").unwrap();
            assert!(state == "running" || (when == When::Boot && state == "starting"), "{state}");
        }
        Who::Shim => {
            let vmm = format!("{}: ", home.pid("k", "vmm").unwrap());
            kill(home.pid("k", "shim").unwrap());
            eventually("a dead VMM", || home.processes().iter().all(|p| !p.starts_with(&vmm)).then_some(()));
            // The VMM goes with the thread that started it, which need not be the last of the shim's to go.
            eventually("a stopped box", || (home.state("k").as_deref() == Some("stopped")).then_some(()));
            command.wait();
        }
        Who::Vmm => {
            kill(home.pid("k", "vmm").unwrap());
            let out = command.wait();
            let state = home.state("k").unwrap();
            match when {
                When::Boot => {
                    out.refused(&["SIGKILL"]);
                    assert_eq!(state, "failed");
                }
                When::Running => {
                    out.refused(&["SIGKILL"]);
                    assert_eq!(state, "stopped");
                }
                When::Stopping => {
                    out.ok();
                    assert_eq!(state, "stopped");
                }
            }
        }
    }
    home.a3s(&["rm", "-f", "k"]).run().ok();
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
    home.await_quiet();
    assert_eq!(home.a3s(&["run", "--rm", "--name", "k", "busybox", "echo", "next"]).run().ok(), "next");
}

macro_rules! hits {
    ($($name:ident: $when:ident $who:ident,)+) => {
        $(#[test] fn $name() { hit(When::$when, Who::$who); })+
    };
}

hits! {
    the_command_is_killed_at_boot: Boot Command,
    the_command_is_killed_while_running: Running Command,
    the_command_is_killed_while_stopping: Stopping Command,
    the_shim_is_killed_at_boot: Boot Shim,
    the_shim_is_killed_while_running: Running Shim,
    the_shim_is_killed_while_stopping: Stopping Shim,
    the_vmm_is_killed_at_boot: Boot Vmm,
    the_vmm_is_killed_while_running: Running Vmm,
    the_vmm_is_killed_while_stopping: Stopping Vmm,
}

#[test]
fn a_box_to_be_removed_goes_even_when_its_command_was_killed() {
    let home = Home::new();
    let mut command = home.a3s(&["run", "--rm", "--name", "r", "busybox", "sleep", "2"]).spawn();
    eventually("a running box", || (home.state("r").as_deref() == Some("running")).then_some(()));
    command.kill();
    eventually("its end", || (home.state("r").as_deref() != Some("running")).then_some(()));
    // The next command that changes anything sweeps it.
    home.a3s(&["create", "--name", "next", "busybox"]).run().ok();
    assert_eq!(home.state("r"), None);
    assert_eq!(std::fs::read_dir(home.path().join("boxes")).unwrap().count(), 1);
}
