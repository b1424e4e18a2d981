//! What keeps a container in.

use crate::sys::{call, fork, leave, wait};
use rustix::mount::{MountFlags, mount};
use rustix::thread::UnshareFlags;
use std::fs;
use std::path::Path;

/// A child that passes.
fn child(program: impl FnOnce()) {
    let pid = fork(program).expect("fork");
    assert_eq!(wait(pid.as_raw_pid()), 0);
}

pub fn namespaces() {
    child(|| {
        leave(
            UnshareFlags::NEWUTS
                | UnshareFlags::NEWIPC
                | UnshareFlags::NEWNS
                | UnshareFlags::NEWNET
                | UnshareFlags::NEWCGROUP
                | UnshareFlags::NEWTIME,
        );
        rustix::system::sethostname(b"inside").expect("sethostname");
        mount("tmpfs", "/tmp", "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>).expect("mount");
        assert_eq!(
            fs::read_to_string("/proc/net/dev").expect("read").lines().count(),
            3,
            "a network of its own has a loopback only"
        );
    });
    child(|| {
        leave(UnshareFlags::NEWPID);
        child(|| assert_eq!(std::process::id(), 1));
    });
    child(|| {
        leave(UnshareFlags::NEWUSER);
        fs::write("/proc/self/uid_map", "1000 0 1").expect("uid_map");
        assert_eq!(rustix::process::getuid().as_raw(), 1000);
        fs::read("/proc/kmsg").map(drop).expect_err("no privilege outside");
    });
    assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").expect("read").trim(), "inside");
}

pub fn cgroups() {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).expect("read");
    for wanted in ["cpu", "memory", "pids", "io"] {
        assert!(controllers.split_whitespace().any(|c| c == wanted), "{wanted} is not among {controllers}");
    }
    fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +pids +io").expect("subtree_control");
    let group = root.join("box");
    // What an earlier round killed has been collected since.
    let _ = fs::remove_dir(&group);
    fs::create_dir(&group).expect("mkdir");
    fs::write(group.join("memory.max"), "33554432").expect("memory.max");
    fs::write(group.join("pids.max"), "4").expect("pids.max");
    fs::write(group.join("cpu.max"), "20000 100000").expect("cpu.max");
    let hungry = fork(|| {
        fs::write(group.join("cgroup.procs"), "0").expect("cgroup.procs");
        let mut map = crate::sys::Map::new(128 << 20, false);
        map.bytes().iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    })
    .expect("fork");
    assert_eq!(wait(hungry.as_raw_pid()) & 0x7f, libc::SIGKILL, "memory.max holds");
    child(|| {
        fs::write(group.join("cgroup.procs"), "0").expect("cgroup.procs");
        let refused = (0..8)
            .filter(|_| fork(|| std::thread::sleep(std::time::Duration::from_millis(200))).is_err())
            .count();
        assert_eq!(refused, 5, "pids.max holds");
    });
    // The grandchildren are ours to wait for, as the first process.
    fs::write(group.join("cgroup.kill"), "1").expect("cgroup.kill");
}

pub fn seccomp() {
    let killed = fork(|| {
        // Strict: read, write and exit only.
        call(libc::SYS_prctl, [22, 1, 0, 0, 0, 0]).expect("PR_SET_SECCOMP");
        let _ = call(libc::SYS_getppid, [0; 6]);
    })
    .expect("fork");
    assert_eq!(wait(killed.as_raw_pid()) & 0x7f, libc::SIGKILL);
    child(|| {
        // Load the number; getppid answers EDOM; all else is allowed.
        let answer = 0x0005_0000 | u32::try_from(libc::EDOM).expect("an error number");
        let number = u32::try_from(libc::SYS_getppid).expect("a number");
        let words = [[0x20_u32, 0], [0x0001_0015_u32.swap_bytes(), number], [6, answer], [6, 0x7fff_0000]];
        let filter: Vec<u8> = words
            .iter()
            .flat_map(|[code, value]| {
                // code: u16, jump if true: u8, jump if false: u8, value: u32
                let head: [u8; 4] = if *value == number { [0x15, 0, 0, 1] } else { code.to_le_bytes() };
                head.into_iter().chain(value.to_le_bytes())
            })
            .collect();
        let mut program = [0_u8; 16];
        program[..2].copy_from_slice(&4_u16.to_le_bytes());
        program[8..].copy_from_slice(&filter.as_ptr().addr().to_le_bytes());
        call(libc::SYS_prctl, [38, 1, 0, 0, 0, 0]).expect("PR_SET_NO_NEW_PRIVS");
        call(libc::SYS_seccomp, [1, 0, program.as_ptr().addr(), 0, 0, 0]).expect("a seccomp filter");
        assert_eq!(call(libc::SYS_getppid, [0; 6]).expect_err("filtered").raw_os_error(), Some(libc::EDOM));
        call(libc::SYS_getpid, [0; 6]).expect("not filtered");
    });
}
