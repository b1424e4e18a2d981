//! `BoxConfig`: everything a user may ask of a box, and all of its validation.

use crate::{
    AccelChoice, BindMount, BoxError, Bytes, CpuShare, ErrorKind, GuestConfig, HealthConfig, KernelChoice,
    LogConfig, MAX_BINDS, MAX_VOLUMES, NetworkConfig, RestartPolicy, Result, RunPolicy, Signal, TeeConfig,
    VmmChoice, VolumeMount,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most vCPUs a box may have.
pub const MAX_CPUS: u32 = 64;
/// The least memory with which the guest kernel and init come up.
pub const MIN_MEMORY: Bytes = Bytes::mib(64);

const MIN_DISK: Bytes = Bytes::mib(16);
const MAX_DISK: Bytes = Bytes::gib(2048);
const MAX_ENV: usize = 65_536;

/// What a user asked of a box. The only description of it: records and specs hold this or parts of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxConfig {
    /// The image as it was typed.
    pub image: String,
    /// Replaces the image's entrypoint; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command; empty leaves the image's own, unless the entrypoint is replaced.
    pub command: Vec<String>,
    /// `NAME=value` pairs over the image's own.
    pub env: Vec<String>,
    /// The working directory in place of the image's.
    pub workdir: Option<String>,
    /// The user in place of the image's.
    pub user: Option<String>,
    /// The guest's host name; the box's short id when absent.
    pub hostname: Option<String>,
    /// Whether the container process has a terminal.
    pub tty: bool,
    /// Whether the container process's standard input is kept open for a client.
    pub interactive: bool,
    /// vCPUs.
    pub cpus: u32,
    /// The guest's memory.
    pub memory: Bytes,
    /// The virtual size of the writable layer's disk; the file grows as it is written.
    pub disk: Bytes,
    /// Whether the writable layer is kept in the guest's memory and lost when the box stops.
    pub ephemeral: bool,
    /// Whether the box is removed when it has stopped.
    pub auto_remove: bool,
    /// Whether set-uid programs in the box are without effect.
    pub no_new_privs: bool,
    /// The signal that `stop` sends, in place of the image's.
    pub stop_signal: Option<Signal>,
    /// The VMM asked for.
    pub vmm: VmmChoice,
    /// The accelerator asked for.
    pub accel: AccelChoice,
    /// The guest kernel's flavour asked for.
    pub kernel: KernelChoice,
    /// What the processor is to keep from the host.
    pub tee: Option<TeeConfig>,
    /// Its volumes.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
    /// Folders and files of the host.
    #[serde(default)]
    pub binds: Vec<BindMount>,
    /// What it finds inside.
    #[serde(default)]
    pub guest: GuestConfig,
    /// Its network.
    #[serde(default)]
    pub network: NetworkConfig,
    /// Its health check.
    #[serde(default)]
    pub health: HealthConfig,
    /// How much of its output is kept.
    #[serde(default)]
    pub log: LogConfig,
    /// What follows the end of a run, and when one has to end.
    #[serde(default)]
    pub policy: RunPolicy,
    /// Labels, over the image's own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Seconds the guest may take to come up; by default as many as the accelerator needs.
    pub boot_timeout: Option<u32>,
}

impl BoxConfig {
    /// A box of `image` with every default.
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            entrypoint: None,
            command: Vec::new(),
            env: Vec::new(),
            workdir: None,
            user: None,
            hostname: None,
            tty: false,
            interactive: false,
            cpus: 1,
            memory: Bytes::mib(512),
            disk: Bytes::gib(10),
            ephemeral: false,
            auto_remove: false,
            no_new_privs: false,
            stop_signal: None,
            vmm: VmmChoice::Auto,
            accel: AccelChoice::Auto,
            kernel: KernelChoice::Auto,
            tee: None,
            volumes: Vec::new(),
            binds: Vec::new(),
            guest: GuestConfig::default(),
            network: NetworkConfig::default(),
            health: HealthConfig::default(),
            log: LogConfig::default(),
            policy: RunPolicy::default(),
            labels: BTreeMap::new(),
            boot_timeout: None,
        }
    }

    /// Gives it `share` of CPUs: as many vCPUs as that takes, and no more time than it says.
    pub fn set_cpus(&mut self, share: CpuShare) {
        self.cpus = share.vcpus();
        self.guest.cpu_limit = share.limit();
    }

    /// Refuses figures and words that make no sense, before anything is made.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String, hint: String| {
            Err(BoxError::new(ErrorKind::InvalidInput, message).with_hint(hint))
        };
        if self.image.is_empty() {
            return refuse("no image given".into(), "name one, such as alpine or debian:12".into());
        }
        if !(1..=MAX_CPUS).contains(&self.cpus) {
            return refuse(
                format!("invalid number of CPUs {}", self.cpus),
                format!("ask for 1 to {MAX_CPUS}"),
            );
        }
        if self.memory < MIN_MEMORY || self.memory > Bytes::gib(1024) {
            return refuse(
                format!("invalid memory size {}", self.memory),
                format!("ask for {MIN_MEMORY} or more, such as --memory 512m"),
            );
        }
        if self.disk < MIN_DISK || self.disk > MAX_DISK {
            return refuse(
                format!("invalid disk size {}", self.disk),
                format!("ask for {MIN_DISK} to {MAX_DISK}"),
            );
        }
        if self.boot_timeout == Some(0) {
            return refuse("invalid boot timeout 0".into(), "give it at least one second".into());
        }
        if let Some(dir) = self.workdir.as_deref()
            && !dir.starts_with('/')
        {
            return refuse(format!("working directory {dir:?} is not absolute"), format!("write /{dir}"));
        }
        if self.env.len() > MAX_ENV {
            return refuse(
                format!("{} environment variables are too many", self.env.len()),
                format!("at most {MAX_ENV}"),
            );
        }
        for pair in &self.env {
            validate_env(pair)?;
        }
        let words = self
            .command
            .iter()
            .chain(self.entrypoint.iter().flatten())
            .chain(&self.user)
            .chain(&self.workdir);
        for word in words {
            if word.contains('\0') {
                return refuse(format!("{word:?} holds a NUL byte"), "Linux cannot pass it on".into());
            }
        }
        self.guest.validate()?;
        if self.volumes.len() > MAX_VOLUMES {
            return refuse(
                format!("{} volumes are too many for one box", self.volumes.len()),
                format!("at most {MAX_VOLUMES}"),
            );
        }
        if self.binds.len() > MAX_BINDS {
            return refuse(
                format!("{} folders of the host are too many for one box", self.binds.len()),
                format!("at most {MAX_BINDS}; a folder above them may hold several"),
            );
        }
        for (index, mount) in self.volumes.iter().enumerate() {
            if self.volumes[..index].iter().any(|other| other.volume == mount.volume) {
                return refuse(format!("volume {} is mounted twice", mount.volume), "mount it once".into());
            }
        }
        let mut targets: Vec<&str> = self.guest.tmpfs.iter().map(|tmpfs| tmpfs.path.as_str()).collect();
        targets.extend(self.volumes.iter().map(|mount| mount.target.as_str()));
        targets.extend(self.binds.iter().map(|mount| mount.target.as_str()));
        targets.sort_unstable();
        if let Some(twice) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("two file systems at {}", twice[0]), "mount one of them".into());
        }
        self.network.validate()?;
        for secret in &self.network.secrets {
            if self.env.iter().any(|pair| pair.split('=').next() == Some(&secret.name)) {
                return refuse(
                    format!("{} is both a variable and a secret", secret.name),
                    "leave out one of --env and --secret".into(),
                );
            }
        }
        self.health.validate()?;
        self.log.validate()?;
        self.policy.validate()?;
        if self.auto_remove && self.policy.restart != RestartPolicy::No {
            return refuse(
                format!(
                    "a box that is removed after its run cannot be started again ({})",
                    self.policy.restart
                ),
                "leave out --rm or --restart".into(),
            );
        }
        if let Some(label) = self.labels.keys().find(|label| label.is_empty() || label.contains('\0')) {
            return refuse(format!("invalid label {label:?}"), "write KEY=VALUE".into());
        }
        self.hostname.as_deref().map_or(Ok(()), validate_hostname)
    }
}

/// Refuses a `NAME=value` pair that Linux could not hold.
fn validate_env(pair: &str) -> Result<()> {
    match pair.split_once('=') {
        Some((name, _)) if !name.is_empty() && !pair.contains('\0') => Ok(()),
        _ => Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid environment variable {pair:?}"))
            .with_hint("write NAME=value")),
    }
}

/// Host names are those of RFC 1123, at most 63 characters, so that they also fit a DNS label.
///
/// # Errors
/// `InvalidInput`, with the name.
pub fn validate_hostname(name: &str) -> Result<()> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let ends = !name.starts_with(['-', '.']) && !name.ends_with(['-', '.']);
    if !name.is_empty() && name.len() <= 63 && letters && ends {
        return Ok(());
    }
    Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid host name {name:?}"))
        .with_hint("use letters, digits, '-' and '.', at most 63"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut BoxConfig)) -> String {
        let mut config = BoxConfig::new("alpine");
        config.validate().unwrap();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(refused(|c| c.cpus = 0), "invalid number of CPUs 0");
        assert_eq!(refused(|c| c.memory = Bytes::mib(1)), "invalid memory size 1MiB");
        assert_eq!(refused(|c| c.disk = Bytes(0)), "invalid disk size 0B");
        assert_eq!(refused(|c| c.workdir = Some("x".into())), "working directory \"x\" is not absolute");
        assert_eq!(refused(|c| c.env = vec!["=x".into()]), "invalid environment variable \"=x\"");
        assert_eq!(refused(|c| c.hostname = Some("a_b".into())), "invalid host name \"a_b\"");
        assert_eq!(refused(|c| c.command = vec!["a\0".into()]), "\"a\\0\" holds a NUL byte");
        let rm = |c: &mut BoxConfig| (c.auto_remove, c.policy.restart) = (true, RestartPolicy::Always);
        assert!(refused(rm).contains("cannot be started again (always)"));
        assert_eq!(refused(|c| c.image.clear()), "no image given");
    }

    #[test]
    fn a_config_survives_json_and_unknown_fields_do_not() {
        let config = BoxConfig::new("alpine");
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<BoxConfig>(&text).unwrap(), config);
        let odd = text.replacen('{', "{\"surprise\":1,", 1);
        assert!(serde_json::from_str::<BoxConfig>(&odd).is_err());
    }
}
