//! The options that `run` and `create` share, and the configuration that they mean.

use crate::docker;
use crate::file::read_text;
use crate::guest_args::GuestArgs;
use crate::health_args::HealthArgs;
use crate::network_args::NetworkArgs;
use crate::policy_args::PolicyArgs;
use a3s_box_core::{
    AccelChoice, BoxConfig, BoxError, BoxName, Bytes, CpuShare, ErrorKind, KernelChoice, LogConfig, Result,
    SevSnpGeneration, Signal, TeeConfig, VmmChoice, validate_hostname,
};
use clap::Args;
use std::path::PathBuf;

/// An env file longer than this is no env file.
const MAX_ENV_FILE: u64 = 16 << 20;

#[derive(Args, Clone)]
pub(crate) struct BoxArgs {
    /// Read options from a file, by their long names, and `image` and `command`; those given here go over them
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Name of the box; one is invented when absent
    #[arg(long)]
    name: Option<BoxName>,
    /// Remove the box when it has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable; NAME alone takes the value it has here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory inside the box
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User inside the box, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Program to run in place of the image's entrypoint; empty clears it
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Host name inside the box; the box's short id when absent
    #[arg(long, value_name = "NAME", value_parser = hostname)]
    hostname: Option<String>,
    /// Number of CPUs, such as 2 or 0.5, which is one vCPU for half of the time; what the image asks for when absent,
    /// else 1
    #[arg(long, value_name = "N")]
    cpus: Option<CpuShare>,
    /// Memory of the guest; what the image asks for when absent, else 512m
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Size of the writable layer's disk, whose space is taken as it is written; what the image asks for when absent,
    /// else 10g
    #[arg(long, value_name = "SIZE")]
    disk: Option<Bytes>,
    /// Keep the writable layer in the guest's memory
    #[arg(long)]
    ephemeral: bool,
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    health: HealthArgs,
    /// How much of the command's output is kept: `max-size=SIZE` of a file (16m), `max-file=COUNT` of them (2)
    #[arg(long, value_name = "NAME=VALUE", value_parser = log_option)]
    log_opt: Vec<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Signal that `stop` sends
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<Signal>,
    /// VMM: auto, krun or qemu
    #[arg(long, env = "A3S_BOX_VMM", default_value = "auto", value_name = "VMM")]
    vmm: VmmChoice,
    /// Accelerator: auto, kvm, hvf or tcg
    #[arg(long, env = "A3S_BOX_ACCEL", default_value = "auto", value_name = "ACCEL")]
    accel: AccelChoice,
    /// Guest kernel: auto, standard, or cpl3 for a KVM that interprets ring 0
    #[arg(long, env = "A3S_BOX_KERNEL", default_value = "auto", value_name = "FLAVOR")]
    kernel: KernelChoice,
    /// Keep the box's memory from this host, with AMD SEV-SNP of a generation: milan or genoa
    #[arg(long, value_name = "GENERATION")]
    tee: Option<SevSnpGeneration>,
    /// Seconds the guest may take to come up
    #[arg(long, env = "A3S_BOX_BOOT_TIMEOUT", value_name = "SECONDS")]
    boot_timeout: Option<u32>,
    /// Image, and the command to run in place of its own
    #[arg(
        required_unless_present = "file",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "IMAGE [COMMAND]..."
    )]
    image_and_command: Vec<String>,
}

impl BoxArgs {
    /// The image.
    pub(crate) fn image(&self) -> &str {
        self.image_and_command.first().map_or("", String::as_str)
    }

    /// Whether the command is to read from a terminal.
    pub(crate) fn wants_terminal(&self) -> bool {
        self.tty && self.interactive
    }

    /// What was asked for, over `defaults`.
    pub(crate) fn config(self, defaults: BoxConfig) -> Result<(BoxConfig, Option<BoxName>)> {
        let (image, command) = split(self.image_and_command);
        if let Some(file) = self.file.filter(|_| image.is_empty()) {
            let text = format!("{} names no image", file.display());
            return Err(BoxError::new(ErrorKind::InvalidInput, text)
                .with_hint("write `image = \"alpine\"` into it, or give one here"));
        }
        docker::refuse_option("run", &image)?;
        let mut config = BoxConfig { image, ..defaults };
        config.command = command;
        config.entrypoint = self.entrypoint.map(|e| if e.is_empty() { Vec::new() } else { vec![e] });
        config.env.extend(environment(&self.env, &self.env_file)?);
        config.workdir = self.workdir.or(config.workdir);
        config.user = self.user;
        config.hostname = self.hostname;
        config.tty = self.tty;
        config.interactive = self.interactive;
        (config.volumes, config.binds) = self.guest.mounts()?;
        (config.guest, config.no_new_privs) = self.guest.config()?;
        if let Some(share) = self.cpus {
            config.set_cpus(share);
        }
        config.memory = self.memory.unwrap_or(config.memory);
        config.disk = self.disk.unwrap_or(config.disk);
        config.ephemeral = self.ephemeral;
        config.auto_remove = self.rm;
        config.network = self.network.config(config.network)?;
        config.health = self.health.config(config.health);
        config.log = config.log.with(&self.log_opt)?;
        (config.policy, config.labels) = self.policy.read()?;
        config.stop_signal = self.stop_signal;
        config.vmm = self.vmm;
        config.accel = self.accel;
        config.kernel = self.kernel;
        config.tee = self.tee.map(TeeConfig::SevSnp);
        config.boot_timeout = self.boot_timeout;
        config.validate()?;
        Ok((config, self.name))
    }
}

fn hostname(text: &str) -> Result<String> {
    validate_hostname(text).map(|()| text.to_owned())
}

/// The options of a log make sense each by itself.
fn log_option(text: &str) -> Result<String> {
    LogConfig::default().with(&[text.to_owned()]).map(|_| text.to_owned())
}

/// The first word, and the command after it; a `--` between the two is only punctuation.
pub(crate) fn split(words: Vec<String>) -> (String, Vec<String>) {
    let mut words = words.into_iter();
    let first = words.next().unwrap_or_default();
    let mut rest: Vec<String> = words.collect();
    if rest.first().is_some_and(|word| word == "--") {
        rest.remove(0);
    }
    (first, rest)
}

/// Environment files first, single variables over them, as Docker does.
pub(crate) fn environment(single: &[String], files: &[PathBuf]) -> Result<Vec<String>> {
    let mut pairs = Vec::new();
    for file in files {
        for line in read_text("env file", file, MAX_ENV_FILE)?.lines() {
            let line = line.trim_start();
            if !line.is_empty() && !line.starts_with('#') {
                pairs.extend(pair(line));
            }
        }
    }
    pairs.extend(single.iter().filter_map(|text| pair(text)));
    Ok(pairs)
}

/// `NAME=value`, or the value that `NAME` has here, or nothing where it has none.
fn pair(text: &str) -> Option<String> {
    if text.contains('=') {
        return Some(text.to_owned());
    }
    std::env::var(text).ok().map(|value| format!("{text}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_after_the_image_belong_to_the_command() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(split(words("alpine ls -e x")), ("alpine".into(), words("ls -e x")));
        assert_eq!(split(words("alpine -- ls -- x")), ("alpine".into(), words("ls -- x")));
        assert_eq!(split(words("alpine")), ("alpine".into(), vec![]));
    }

    #[test]
    fn an_env_file_has_comments_and_names() {
        let dir = std::env::temp_dir().join(format!("a3s-env-{}", std::process::id()));
        std::fs::write(&dir, "# comment\n\nA=1\n  B=x=y\nCARGO_PKG_NAME\nNOT_SET_ANYWHERE\n").unwrap();
        let env = environment(&["A=2".into()], std::slice::from_ref(&dir)).unwrap();
        std::fs::remove_file(&dir).unwrap();
        let package = env!("CARGO_PKG_NAME");
        assert_eq!(env, ["A=1", "B=x=y", &format!("CARGO_PKG_NAME={package}"), "A=2"]);
    }
}
