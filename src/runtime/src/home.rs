//! The state directory and the places in it.

use a3s_box_core::{BoxError, BoxId, ErrorKind, LogConfig, Result};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The state directory: `$A3S_HOME`, or `~/.a3s`. Only its owner may look into it.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The state directory that the environment names, made if missing.
    ///
    /// # Errors
    /// `InvalidInput` where neither `A3S_HOME` nor `HOME` is set to an absolute path, and those of mkdir(2).
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let path =
            set("A3S_HOME").or_else(|| set("HOME").map(|home| home.join(".a3s"))).ok_or_else(|| {
                BoxError::new(ErrorKind::InvalidInput, "no state directory: neither A3S_HOME nor HOME is set")
                    .with_hint("set A3S_HOME to a folder of yours")
            })?;
        Self::at(&path)
    }

    /// The state directory at `path`, made if missing.
    ///
    /// # Errors
    /// `InvalidInput` where `path` is not absolute, and those of mkdir(2).
    pub fn at(path: &Path) -> Result<Self> {
        if !path.is_absolute() {
            return Err(BoxError::new(
                ErrorKind::InvalidInput,
                format!("state directory {} is not absolute", path.display()),
            )
            .with_hint("set A3S_HOME to an absolute path"));
        }
        let home = Self(path.to_owned());
        for dir in [path.to_owned(), home.boxes(), home.disks(), home.templates()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|e| {
                BoxError::io(format!("cannot create {}", dir.display()), e)
                    .with_hint("set A3S_HOME to a folder that you can write to")
            })?;
        }
        // Even a look at boxes takes a lock; said here it is said once.
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|e| {
            BoxError::io(format!("cannot write to the state directory {}", path.display()), e.into())
                .with_hint("set A3S_HOME to a folder that you can write to")
        })?;
        Ok(home)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `boxes.json`: the records of all boxes.
    pub(crate) fn records(&self) -> PathBuf {
        self.0.join("boxes.json")
    }

    /// The lock that guards `boxes.json` and `boxes/`.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("boxes.lock")
    }

    /// The folders of all boxes.
    pub(crate) fn boxes(&self) -> PathBuf {
        self.0.join("boxes")
    }

    /// The folder of one box, which its shim owns while it runs.
    pub(crate) fn folder(&self, id: &BoxId) -> BoxFolder {
        BoxFolder(self.boxes().join(id.as_str()))
    }

    /// Formatted, empty disks, from which writable layers are copied.
    pub(crate) fn disks(&self) -> PathBuf {
        self.0.join("disks")
    }

    /// The image store.
    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// The rootfs images.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    /// The networks that boxes share.
    pub(crate) fn networks(&self) -> PathBuf {
        self.0.join("networks")
    }

    /// Disks with names, which outlive boxes.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }

    /// Guests that have booted, which boxes go on from.
    pub(crate) fn templates(&self) -> PathBuf {
        self.0.join("templates")
    }

    /// What has happened to boxes.
    pub(crate) fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// What was found out about this host.
    pub(crate) fn probe(&self) -> PathBuf {
        self.0.join("host.json")
    }

    /// A kernel and initramfs put here take precedence over those installed with the program.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.0.join("kernel")
    }
}

/// The folder of one box.
#[derive(Debug, Clone)]
pub(crate) struct BoxFolder(PathBuf);

impl BoxFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the shim is to do.
    pub(crate) fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// What the shim says of the run.
    pub(crate) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// Held by the shim as long as it lives.
    pub(crate) fn run_lock(&self) -> PathBuf {
        self.0.join("run.lock")
    }

    pub(crate) fn shim_socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }

    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// The writable layer.
    pub(crate) fn upper(&self) -> PathBuf {
        self.0.join("upper.ext4")
    }

    /// Where its published ports are.
    pub(crate) fn ports(&self) -> PathBuf {
        self.0.join("ports.json")
    }

    /// What it did on the network, the older part first.
    pub(crate) fn net_logs(&self) -> Vec<PathBuf> {
        vec![self.0.join("net.jsonl.1"), self.0.join("net.jsonl")]
    }

    /// The log `stem` of a process, the oldest part first.
    pub(crate) fn logs(&self, stem: &str, config: LogConfig) -> Vec<PathBuf> {
        config.files(stem).into_iter().map(|name| self.0.join(name)).collect()
    }
}
