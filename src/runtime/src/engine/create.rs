//! `create`: settles everything about a box and writes its record.

use super::{Engine, now};
use crate::events::event;
use crate::networks::Networks;
use crate::preflight::{self, Facts};
use crate::settings::Settings;
use crate::state::{BoxRecord, ImagePin, Records, State};
use crate::{binds, health, host, labels};
use a3s_box_core::{
    BoxConfig, BoxError, BoxId, BoxName, ErrorKind, EventKind, ExecRequest, NetTrust, Result, Secret, Signal,
    TtySize,
};
use a3s_box_events::Teller;
use a3s_box_image::{Image, ProcessConfig};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

impl Engine {
    /// What a box of `image` is before the user says anything: our defaults, and over them what the image's labels
    /// (`a3s.box.*`) ask for.
    ///
    /// # Errors
    /// `NotFound` for an image that is not in the store, `InvalidInput` for labels that make no sense, `OutOfSpace`
    /// for those that ask for more than an image may.
    pub fn defaults(&self, image: &str) -> Result<BoxConfig> {
        labels::defaults(image, &self.store()?.resolve(image)?.config.config.labels)
    }

    /// Makes a box of `config`, called `name` or by a name we invent. It is not started.
    ///
    /// The image must be in the store. Its rootfs image is built here if no box has needed it yet.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration that makes no sense, `NotFound` for an image that is not in the
    /// store and for a network that is not there, `Unsupported` for what this host cannot give, `AlreadyExists` for a
    /// name that another box has, and those of building the rootfs image. No box
    /// is left behind.
    pub fn create(&self, mut config: BoxConfig, name: Option<BoxName>) -> Result<BoxRecord> {
        config.validate()?;
        let facts = Facts::gather(&self.home)?;
        config.tee.map_or(Ok(()), |tee| preflight::tee::require(tee, facts.sev_snp))?;
        let machine = preflight::choose(&config, &facts)?;
        let store = self.store()?;
        let image = store.resolve(&config.image)?;
        for secret in &mut config.network.secrets {
            secret.placeholder = placeholder()?;
        }
        let process = process(&config, &image)?;
        let stop_signal = stop_signal(&config, &image.config.config)?;
        let health = health::check(&config.health, image.config.config.healthcheck.as_ref());
        let mut labels = image.config.config.labels.clone();
        labels.extend(config.labels.clone());
        let hooks = Settings::read(&self.home)?.hooks(&self.home)?;
        let rootfs = self.rootfs()?.ensure(&store, &image)?;
        let rootfs = rootfs.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let pin = ImagePin { digest: image.digest.to_string(), rootfs };

        let mut state = State::write(&self.home)?;
        self.sweep(&mut state)?;
        // Until the record is written, nobody knows that a box needs the image, and another command may remove it.
        store.resolve(&pin.digest)?;
        let networks = Networks::of(&self.home);
        config.network.networks.iter().try_for_each(|network| networks.check(network))?;
        self.make_volumes(&config)?;
        binds::prepare(&self.home, &config.binds)?;
        let name = name.map_or_else(|| invent(state.records()), |name| vacant(state.records(), name))?;
        let id = BoxId::from_bytes(random()?);
        let creator = config.auto_remove.then(host::myself).flatten();
        let record = BoxRecord {
            id,
            name,
            config,
            image: pin,
            process,
            stop_signal,
            health,
            labels,
            vmm: machine.rung.vmm,
            accel: machine.rung.accel,
            kernel: machine.rung.kernel,
            stepped_down: machine.stepped_down,
            created_at: now(),
            creator,
        };
        // The folder comes first: a folder without a record is swept, a record without a folder would be a box.
        let folder = self.home.folder(&record.id);
        DirBuilder::new()
            .mode(0o700)
            .create(folder.path())
            .map_err(|e| BoxError::io(format!("cannot create {}", folder.path().display()), e))?;
        let added = record.clone();
        if let Err(error) = state.change(|records| drop(records.insert(added.id.clone(), added))) {
            drop(std::fs::remove_dir(folder.path()));
            return Err(error);
        }
        let event = event(&record, EventKind::Created, &[]);
        let teller = Teller { log: self.home.events(), hooks };
        teller.note(&event);
        // They may take their time, and others need not wait for them.
        drop(state);
        if let Err(why) = teller.run_hooks(&event) {
            let mut state = State::write(&self.home)?;
            self.remove(&mut state, &record)?;
            return Err(BoxError::new(
                ErrorKind::Unavailable,
                format!("box {} was not created", record.name),
            )
            .caused_by(why));
        }
        Ok(record)
    }
}

/// The container process: what the image says, and over it what the user says, as Docker puts them together.
fn process(config: &BoxConfig, image: &Image) -> Result<ExecRequest> {
    let of_image = &image.config.config;
    let mut args = config.entrypoint.clone().unwrap_or_else(|| of_image.entrypoint.clone());
    if config.command.is_empty() && config.entrypoint.is_none() {
        args.extend(of_image.cmd.iter().cloned());
    } else {
        args.extend(config.command.iter().cloned());
    }
    if args.is_empty() {
        return Err(BoxError::new(
            ErrorKind::InvalidInput,
            format!("image {} names no command to run", config.image),
        )
        .with_hint("give one after the image's name"));
    }
    let mut env = of_image.env.clone();
    overlay_env(&mut env, &config.env);
    secrets_env(&mut env, &config.network.secrets);
    let cwd = config.workdir.clone().unwrap_or_else(|| of_image.working_dir.clone());
    Ok(ExecRequest {
        args,
        env,
        cwd: if cwd.starts_with('/') { cwd } else { format!("/{cwd}") },
        user: config.user.clone().unwrap_or_else(|| of_image.user.clone()),
        tty: config.tty.then(TtySize::default),
        stdin: config.interactive,
        no_new_privs: config.no_new_privs,
    })
}

/// What a box has in place of a secret: nothing that could be guessed, or be anything else.
fn placeholder() -> Result<String> {
    let hex: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}{hex}", Secret::PREFIX))
}

/// Puts placeholders in, and where secrets go over TLS tells programs whom to believe who have not been told otherwise.
fn secrets_env(env: &mut Vec<String>, secrets: &[Secret]) {
    let pairs: Vec<String> = secrets.iter().map(|s| format!("{}={}", s.name, s.placeholder)).collect();
    overlay_env(env, &pairs);
    if secrets.iter().flat_map(|secret| &secret.hosts).any(|host| host.tls) {
        for variable in NetTrust::VARIABLES {
            if !env.iter().any(|pair| pair.split('=').next() == Some(variable)) {
                env.push(format!("{variable}={}", NetTrust::BUNDLE));
            }
        }
    }
}

/// Puts the `NAME=value` pairs of `over` over those of `env`: a name that is there already is replaced.
pub(super) fn overlay_env(env: &mut Vec<String>, over: &[String]) {
    for pair in over {
        let name = pair.split('=').next().unwrap_or(pair);
        let same = |p: &String| p.split('=').next() == Some(name);
        match env.iter().position(same) {
            Some(at) => env[at].clone_from(pair),
            None => env.push(pair.clone()),
        }
    }
}

fn stop_signal(config: &BoxConfig, image: &ProcessConfig) -> Result<Signal> {
    match config.stop_signal {
        Some(signal) => Ok(signal),
        None if image.stop_signal.is_empty() => Ok(Signal::TERM),
        None => image.stop_signal.parse(),
    }
}

/// `name`, if no box has it.
pub(super) fn vacant(records: &Records, name: BoxName) -> Result<BoxName> {
    match records.values().find(|r| r.name == name) {
        Some(other) => Err(BoxError::new(
            ErrorKind::AlreadyExists,
            format!("name {name} is taken by box {}", other.id.short()),
        )
        .with_hint(format!("choose another, or remove that box with `a3s-box rm {name}`"))),
        None => Ok(name),
    }
}

fn invent(records: &Records) -> Result<BoxName> {
    loop {
        let [a, b, c, d, e, f, g, h, ..] = random()?;
        let name = BoxName::invent(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
        if let Ok(name) = vacant(records, name) {
            return Ok(name);
        }
    }
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| BoxError::io("cannot read random bytes", e.into()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_given_again_replaces_the_first() {
        let mut env = vec!["PATH=/bin".to_owned(), "A=1".to_owned()];
        overlay_env(&mut env, &["A=2".to_owned(), "B=3".to_owned(), "PATHS=x".to_owned()]);
        assert_eq!(env, ["PATH=/bin", "A=2", "B=3", "PATHS=x"]);
    }

    #[test]
    fn placeholders_are_in_the_environment_and_programs_are_told_whom_to_believe() {
        let mut secret: Secret = "TOKEN=env:T@http://a.example".parse().unwrap();
        secret.placeholder = placeholder().unwrap();
        assert_ne!(secret.placeholder, placeholder().unwrap());
        let mut env = vec!["SSL_CERT_FILE=/mine".to_owned(), "TOKEN=old".to_owned()];
        secrets_env(&mut env, &[secret.clone()]);
        assert_eq!(env, ["SSL_CERT_FILE=/mine".to_owned(), format!("TOKEN={}", secret.placeholder)]);
        secret.hosts.push("b.example".parse().unwrap());
        secrets_env(&mut env, &[secret]);
        assert!(
            env[0] == "SSL_CERT_FILE=/mine" && env.contains(&format!("CURL_CA_BUNDLE={}", NetTrust::BUNDLE))
        );
    }
}
