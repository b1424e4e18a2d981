//! `start`: gives a box a shim, which boots it.

use super::{Engine, net, wrong_state};
use crate::Home;
use crate::guest::{self, GuestFiles};
use crate::home::BoxFolder;
use crate::preflight::{self, Facts, Rung};
use crate::settings::Settings;
use crate::state::{BoxRecord, State, look};
use crate::volumes::Volumes;
use crate::{binds, host, sys};
use a3s_box_agent::socket;
use a3s_box_core::{
    BindPoint, BootSpec, BoxError, Bytes, ErrorKind, Hook, NetSpec, Result, ShimSpec, TtySize, Upper,
    VolumeDisk,
};
use a3s_box_files::{Lock, Scratch};
use a3s_box_net::SecretValues;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the shim of the last run may take to leave after it has written its end.
const LEAVE: Duration = Duration::from_secs(10);
/// How long it may take where the user's hooks hold it up.
const HOOKS: Duration = Duration::from_secs(90);

impl Engine {
    /// Boots the box that `name` means. Its shim runs on by itself; [`Engine::attach`] tells how it fares.
    ///
    /// `tty` is the size of the terminal that the container process is to begin with, where it has one.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that runs, and whatever the host refuses: no kernel,
    /// no shim, no room for the disk.
    pub fn start(&self, name: &str, tty: Option<TtySize>) -> Result<BoxRecord> {
        let (record, seen) = self.see(name)?;
        if !seen.state.is_live()
            && let Some(status) = seen.of_this_boot()
        {
            host::gone(status.shim, HOOKS);
        }
        let rung = Rung { vmm: record.vmm, accel: record.accel, kernel: record.kernel };
        rung.recheck(&record.config, &Facts::gather(&self.home)?)?;
        let files = GuestFiles::find(&self.home, record.kernel)?;
        let shim = guest::shim()?;
        let rootfs = self.rootfs_of(&record)?;
        let folder = self.home.folder(&record.id);
        if !folder.path().exists() {
            let text = format!("the folder of box {} is gone, and what it had written with it", record.name);
            return Err(BoxError::new(ErrorKind::Corrupt, text)
                .with_hint(format!("remove it with `a3s-box rm {}`, and make it anew", record.name)));
        }
        let upper =
            if record.config.ephemeral { None } else { Some(self.upper(&folder, record.config.disk)?) };
        let settings = Settings::read(&self.home)?;
        // Read anew at each start: a value that is changed holds from then on, and none is ever on our disk.
        let values = SecretValues::read(&record.config.network.secrets)?;

        // From here on no other command may start, remove or sweep the box.
        let state = State::write(&self.home)?;
        // It may be called otherwise by now, or have another policy.
        let record = state.find(record.id.as_str())?.clone();
        let seen = look(&self.home, &record)?;
        if seen.state.is_live() {
            return Err(wrong_state(&record.name, seen.state, "stop it first"));
        }
        if let Some(status) = seen.of_this_boot() {
            host::gone(status.shim, LEAVE);
            status.vmm.map(|vmm| host::kill(vmm, LEAVE));
        }
        seen.note_cut_short(&state, &self.home, &record);
        let volumes = Volumes::of(&self.home).attach(&self.home, &state, &record)?;
        let binds = binds::attach(&self.home, &record.config.binds)?;
        let network = net::spec(&self.home, &record, &settings)?;
        let hooks = settings.hooks(&self.home)?;
        let spec = spec(&self.home, &record, files, (rootfs, upper, volumes, binds), tty, network, hooks);
        self.launch(&shim, &folder, &spec, &values)
            .map_err(|e| BoxError::io(format!("cannot start box {}", record.name), e))?;
        Ok(record)
    }

    /// Hands the spec, the listening sockets and the run lock to a new shim, and the `values` of secrets through a pipe
    /// that is empty once they are read.
    fn launch(
        &self,
        shim: &Path,
        folder: &BoxFolder,
        spec: &ShimSpec,
        values: &SecretValues,
    ) -> io::Result<()> {
        let lock = Lock::try_exclusive(&folder.run_lock())?.ok_or(io::ErrorKind::ResourceBusy)?;
        for of_last_run in [folder.status(), folder.ports()] {
            match std::fs::remove_file(of_last_run) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        std::fs::write(folder.spec(), serde_json::to_vec(spec)?)?;
        let fds: Vec<OwnedFd> = vec![
            socket::listen(&folder.shim_socket())?.into(),
            socket::listen(&folder.agent_socket())?.into(),
            lock.into_file().into(),
        ];
        let mut command = Command::new(shim);
        command.current_dir(folder.path()).env_clear();
        for name in ["PATH", "RUST_LOG", "A3S_BOX_QEMU", "SSL_CERT_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(if values.is_empty() { Stdio::null() } else { piped(values)?.into() });
        command.stdout(Stdio::null()).stderr(Stdio::null());
        sys::spawn_detached(&mut command, fds)
    }

    /// The rootfs image of a box, built anew from its layers where it was cleaned away.
    fn rootfs_of(&self, record: &BoxRecord) -> Result<PathBuf> {
        let store = self.store()?;
        let image = store.resolve(&record.image.digest).map_err(|e| {
            BoxError::from(e)
                .with_hint(format!("pull {} again; box {} needs it", record.config.image, record.name))
        })?;
        Ok(self.rootfs()?.ensure(&store, &image)?)
    }

    /// The box's writable disk, made at its first start as a sparse copy of an empty one.
    fn upper(&self, folder: &BoxFolder, size: Bytes) -> Result<PathBuf> {
        let path = folder.upper();
        if path.exists() {
            return Ok(path);
        }
        let empty = self.empty_disk(size)?;
        let failed = |e| {
            BoxError::io(format!("cannot create the disk {}", path.display()), e)
                .with_hint("free some space, or run the box with --ephemeral")
        };
        let copy = || {
            let scratch = Scratch::new(folder.path())?;
            copy_sparse(&File::open(&empty)?, scratch.file())?;
            scratch.keep(&path)
        };
        copy().map_err(failed)?;
        Ok(path)
    }

    /// An empty ext4 disk of `size`, formatted once and kept.
    pub(super) fn empty_disk(&self, size: Bytes) -> Result<PathBuf> {
        let path = self.home.disks().join(format!("ext4-{}-v1.img", size.0));
        if path.exists() {
            return Ok(path);
        }
        let failed = |e| BoxError::io(format!("cannot format {}", path.display()), e);
        let scratch = Scratch::new(&self.home.disks()).map_err(failed)?;
        scratch.file().set_len(size.0).map_err(failed)?;
        // Tables are left to be written when they are needed, and no blocks are kept for root: it is a box's
        // own disk. The small journal makes a box that was killed start again with a sound file system.
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-J", "size=4", "-O", "^resize_inode"])
            .args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"])
            .arg(scratch.path())
            .env("PATH", mkfs_path())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| {
                BoxError::io("cannot run mkfs.ext4", e)
                    .with_hint("install it, on Debian with `apt-get install e2fsprogs`, or use --ephemeral")
            })?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            let failed =
                BoxError::new(ErrorKind::Internal, format!("mkfs.ext4 of {} failed", path.display()));
            // It has many words for one thing.
            return Err(if said.contains("No space left") {
                BoxError::io(format!("cannot format {}", path.display()), io::ErrorKind::StorageFull.into())
                    .caused_by("No space left on device")
            } else {
                failed.caused_by(said.trim().to_owned())
            });
        }
        scratch.publish(&path).map_err(failed)?;
        Ok(path)
    }
}

/// The reading end of a pipe with all of `values` in it, which are fewer than it holds.
fn piped(values: &SecretValues) -> io::Result<io::PipeReader> {
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&serde_json::to_vec(values)?)?;
    Ok(reader)
}

/// `sbin`, where mkfs lives, is not in every user's `PATH`.
pub(crate) fn mkfs_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// The rootfs image, the writable layer's disk, the volumes' disks, and what of the host is mounted where.
type Files = (PathBuf, Option<PathBuf>, Vec<VolumeDisk>, (Vec<PathBuf>, Vec<BindPoint>));

fn spec(
    home: &Home,
    record: &BoxRecord,
    files: GuestFiles,
    (rootfs, upper, volumes, (sources, points)): Files,
    tty: Option<TtySize>,
    network: Option<NetSpec>,
    hooks: Vec<Hook>,
) -> ShimSpec {
    let mut process = record.process.clone();
    process.tty = process.tty.map(|default| tty.unwrap_or(default));
    ShimSpec {
        id: record.id.clone(),
        name: record.name.clone(),
        image: record.config.image.clone(),
        labels: record.labels.clone(),
        events: home.events(),
        hooks,
        policy: record.config.policy,
        vmm: record.vmm,
        accel: record.accel,
        cpus: record.config.cpus,
        memory: record.config.memory,
        flavor: record.kernel,
        kernel: files.kernel,
        initramfs: files.initramfs,
        rootfs,
        templates: home.templates(),
        boot_timeout_ms: preflight::boot_timeout_ms(&record.config, record.accel),
        stop_signal: record.stop_signal,
        discard: record.config.auto_remove && volumes.iter().all(|volume| volume.read_only),
        volumes,
        binds: sources,
        health: record.health.clone(),
        log: record.config.log,
        boot: BootSpec {
            hostname: record.config.hostname.clone().unwrap_or_else(|| record.id.short().to_owned()),
            upper: if upper.is_some() { Upper::Disk } else { Upper::Tmpfs },
            volumes: record.config.volumes.clone(),
            binds: points,
            guest: record.config.guest.clone(),
            process,
            trust: None,
        },
        upper,
        network,
    }
}

/// Copies the data of `from` and leaves its holes.
pub(crate) fn copy_sparse(from: &File, to: &File) -> io::Result<()> {
    let end = from.metadata()?.len();
    to.set_len(end)?;
    let (mut from, mut to) = (from, to);
    let mut at = 0;
    while at < end {
        let start = match rustix::fs::seek(from, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let stop = rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut io::Read::take(from, stop - start), &mut to)?;
        at = stop;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_sparse_copy_has_the_same_data_and_stays_sparse() {
        let from = tempfile::tempfile().unwrap();
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"head", 0).unwrap();
        from.write_all_at(&[7; 5000], 33 << 20).unwrap();
        let to = tempfile::tempfile().unwrap();
        copy_sparse(&from, &to).unwrap();
        let mut data = [0; 5000];
        to.read_exact_at(&mut data, 33 << 20).unwrap();
        assert_eq!(data, [7; 5000]);
        assert_eq!(to.metadata().unwrap().len(), 64 << 20);
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
