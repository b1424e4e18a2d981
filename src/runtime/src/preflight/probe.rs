//! The shim's probe of this host, run in a process that can be killed, and remembered.

use crate::{Home, guest};
use a3s_box_core::{BoxError, HostProbe, KvmVerdict, Result};
use a3s_box_files::{Scratch, boot_id};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The seconds that a probe gets, which takes some 20 ms, and those of a second one where it does not come back: a host that
/// stood still for a moment is not one whose KVM does not work, and the verdict stays until the host's next boot.
const PATIENCE: [i64; 2] = [2, 8];
/// What the shim prints is a line.
const MAX_OUTPUT: u64 = 64 << 10;

/// What was found out, and when it has to be found out anew.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    key: Key,
    probe: HostProbe,
}

/// What the answer depends on: this boot of the host, the shim that probes, and whether it may use `/dev/kvm`.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    boot: String,
    shim: PathBuf,
    inode: u64,
    modified: (i64, i64),
    kvm: bool,
}

/// What the shim finds out about this host, where `kvm` tells whether this user may open `/dev/kvm`.
pub(super) fn remembered(home: &Home, kvm: bool) -> Result<HostProbe> {
    let shim = guest::shim()?;
    let key =
        Key::of(&shim, kvm).map_err(|e| BoxError::io(format!("cannot look at {}", shim.display()), e))?;
    let path = home.probe();
    let old: Option<Memory> = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
    if let Some(memory) = old
        && memory.key == key
    {
        return Ok(memory.probe);
    }
    let probe = run(&shim).map_err(|e| BoxError::io(format!("cannot run {} probe", shim.display()), e))?;
    let memory = Memory { key, probe };
    // A host that cannot be remembered is probed again.
    if let Err(error) = remember(&path, &memory) {
        tracing::warn!(%error, "the probe of this host cannot be kept");
    }
    Ok(memory.probe)
}

/// Forgets what was found out.
pub(crate) fn forget(home: &Home) -> Result<()> {
    match std::fs::remove_file(home.probe()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(BoxError::io(format!("cannot remove {}", home.probe().display()), e))
        }
        _ => Ok(()),
    }
}

impl Key {
    fn of(shim: &Path, kvm: bool) -> io::Result<Self> {
        let file = std::fs::metadata(shim)?;
        Ok(Self {
            boot: boot_id().unwrap_or_default(),
            shim: shim.to_owned(),
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
            kvm,
        })
    }
}

fn remember(path: &Path, memory: &Memory) -> io::Result<()> {
    Scratch::write_lazily(path, &serde_json::to_vec(memory)?)
}

fn run(shim: &Path) -> io::Result<HostProbe> {
    for seconds in PATIENCE {
        match run_within(shim, seconds) {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {}
            done => return done,
        }
    }
    Ok(stuck())
}

fn run_within(shim: &Path, seconds: i64) -> io::Result<HostProbe> {
    let patience = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let mut child = Command::new(shim)
        .arg("probe")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let answered = poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&patience));
    let mut json = Vec::new();
    let read = match answered {
        Ok(1..) => (&mut output).take(MAX_OUTPUT).read_to_end(&mut json).map(drop),
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Err(e) => Err(e.into()),
    };
    drop(child.kill());
    child.wait()?;
    read?;
    Ok(serde_json::from_slice(&json)?)
}

/// What is left to say of a host whose KVM does not come back.
fn stuck() -> HostProbe {
    let [_, seconds] = PATIENCE;
    let reason = format!("a VM that counts to 10000 was not done after {seconds} s");
    HostProbe {
        krun: None,
        kvm: KvmVerdict::Unusable(reason.clone()),
        hvf: Some(reason),
        landlock: 0,
        sev_snp: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    fn shim(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("shim");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_probe_that_does_not_come_back_is_killed_and_kvm_counts_as_useless() {
        let dir = tempfile::tempdir().unwrap();
        let begin = Instant::now();
        let probe = run(&shim(dir.path(), "exec sleep 1000")).unwrap();
        assert!(matches!(probe.kvm, KvmVerdict::Unusable(reason) if reason.contains("was not done")));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_host_that_stood_still_once_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let seen = dir.path().join("seen");
        let answer = r#"{"krun":null,"kvm":"full","landlock":7}"#;
        let script =
            format!("[ -e {0} ] || {{ : > {0}; exec sleep 1000; }}; echo '{answer}'", seen.display());
        assert_eq!(run(&shim(dir.path(), &script)).unwrap().kvm, KvmVerdict::Full);
    }

    #[test]
    fn nonsense_from_a_probe_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(run(&shim(dir.path(), "echo nonsense")).is_err());
        assert!(run(&shim(dir.path(), "exit 1")).is_err());
        let answer = r#"{"krun":null,"kvm":{"ring3":"slow"},"landlock":7}"#;
        let probe = run(&shim(dir.path(), &format!("echo '{answer}'"))).unwrap();
        assert_eq!(probe.kvm, KvmVerdict::Ring3("slow".into()));
    }
}
