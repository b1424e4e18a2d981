//! `config.toml` in the state directory: what a user settles once for all commands. Documented in `docs/config.md`.
//!
//! Strict: a key that means nothing is refused by name, since one that is overlooked would be worse than none.

use crate::Home;
use crate::guest;
use a3s_box_core::{
    BoxError, Bytes, ErrorKind, EventKind, Hook, NetDefault, NetLimits, NetResolver, NetRule, Result,
};
use a3s_box_image::{Registries, RegistrySettings, VerifyPolicy};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most of the file that is read, in bytes.
const MAX: u64 = 1 << 20;
const DAY: u64 = 24 * 60 * 60;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// The image store.
    pub(crate) image: ImageSettings,
    /// The rootfs cache.
    pub(crate) rootfs: RootfsSettings,
    registry: BTreeMap<String, RegistrySettings>,
    /// Which images must be signed.
    pub(crate) verify: Vec<VerifyPolicy>,
    /// What all boxes may reach.
    pub(crate) net: NetSettings,
    hook: Vec<HookSettings>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NetSettings {
    /// What holds where no rule does.
    pub(crate) default: NetDefault,
    /// The rules after those of each box.
    pub(crate) rules: Vec<NetRule>,
    /// Resolvers in place of the host's.
    pub(crate) resolvers: Vec<NetResolver>,
    /// PEM files of authorities that may vouch for hosts of secrets and for resolvers, beside those of the host.
    pub(crate) ca: Vec<PathBuf>,
    limits: LimitSettings,
}

/// How much of the network each box may use; what is not said is as it is without.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct LimitSettings {
    #[serde(deserialize_with = "some_size")]
    rate: Option<Bytes>,
    #[serde(deserialize_with = "some_size")]
    burst: Option<Bytes>,
    #[serde(deserialize_with = "some_size")]
    destination_rate: Option<Bytes>,
    #[serde(deserialize_with = "some_size")]
    destination_burst: Option<Bytes>,
    connections: Option<u32>,
    connection_rate: Option<u32>,
    dns_rate: Option<u32>,
}

impl NetSettings {
    /// How much of the network each box may use.
    pub(crate) fn limits(&self) -> NetLimits {
        let (usual, own) = (NetLimits::default(), &self.limits);
        NetLimits {
            rate: own.rate.map_or(usual.rate, |size| size.0),
            burst: own.burst.map_or(usual.burst, |size| size.0),
            destination_rate: own.destination_rate.map_or(usual.destination_rate, |size| size.0),
            destination_burst: own.destination_burst.map_or(usual.destination_burst, |size| size.0),
            connections: own.connections.unwrap_or(usual.connections),
            connection_rate: own.connection_rate.unwrap_or(usual.connection_rate),
            dns_rate: own.dns_rate.unwrap_or(usual.dns_rate),
        }
    }
}

/// What is run, or where is posted to, when something happens to a box. Documented in `docs/hooks.md`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HookSettings {
    on: Vec<HookPoint>,
    #[serde(default)]
    run: Vec<String>,
    url: Option<String>,
    #[serde(default = "hook_timeout", deserialize_with = "duration")]
    timeout: Duration,
    #[serde(default)]
    required: bool,
}

/// The events that hooks are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HookPoint {
    Created,
    Started,
    Ready,
    Stopped,
    Removed,
}

impl HookPoint {
    fn event(self) -> EventKind {
        match self {
            Self::Created => EventKind::Created,
            Self::Started => EventKind::Started,
            Self::Ready => EventKind::Ready,
            Self::Stopped => EventKind::Stopped,
            Self::Removed => EventKind::Removed,
        }
    }
}

fn hook_timeout() -> Duration {
    Duration::from_secs(10)
}

/// No hook may hold a box up for longer.
const MAX_HOOK: Duration = Duration::from_secs(60);

impl HookSettings {
    fn hook(&self, home: &Home, at: usize) -> Result<Hook> {
        let refuse = |what: &str| {
            let text =
                format!("hook {} of {} makes no sense: {what}", at + 1, Settings::path(home).display());
            Err(BoxError::new(ErrorKind::InvalidInput, text).with_hint("see docs/hooks.md"))
        };
        if self.timeout.is_zero() || self.timeout > MAX_HOOK {
            return refuse("its timeout is to be 1s to 60s");
        }
        if self.on.is_empty() {
            return refuse("it is for no event");
        }
        let required = self.required;
        if required && self.on.iter().any(|on| matches!(on, HookPoint::Stopped | HookPoint::Removed)) {
            return refuse("what has happened cannot be required not to: stopped, removed");
        }
        let run = match (&self.run[..], &self.url) {
            ([program, ..], None) if program.starts_with('/') => self.run.clone(),
            ([_, ..], None) => return refuse("its program has to be an absolute path"),
            ([], Some(url)) if url.starts_with("http://") || url.starts_with("https://") => {
                let program = guest::command_line()?.to_string_lossy().into_owned();
                let home = home.path().to_string_lossy().into_owned();
                let index = at.to_string();
                // The address may hold a secret, which is not for everybody's eyes: only its place is named.
                vec!["/usr/bin/env".to_owned(), format!("A3S_HOME={home}"), program, "hook".to_owned(), index]
            }
            ([], Some(_)) => return refuse("its url has to begin with http:// or https://"),
            _ => return refuse("it has to have either run or url"),
        };
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(Hook { on: self.on.iter().map(|on| on.event()).collect(), run, timeout_ms, required })
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ImageSettings {
    /// What the store may hold before images go that were used least recently.
    #[serde(deserialize_with = "size")]
    pub(crate) max_size: Bytes,
    /// PEM files of authorities that may vouch for any registry.
    ca: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RootfsSettings {
    /// What the cache may hold before rootfs images go that were used least recently.
    #[serde(deserialize_with = "size")]
    pub(crate) max_size: Bytes,
    /// After how long a rootfs image goes that is not used.
    #[serde(deserialize_with = "duration")]
    pub(crate) ttl: Duration,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self { max_size: Bytes::gib(32), ca: Vec::new() }
    }
}

impl Default for RootfsSettings {
    fn default() -> Self {
        Self { max_size: Bytes::gib(32), ttl: Duration::from_secs(30 * DAY) }
    }
}

impl Settings {
    fn path(home: &Home) -> PathBuf {
        home.path().join("config.toml")
    }

    /// Where the hook at this place of the list posts to, and how long that may take.
    pub(crate) fn hook_url(&self, at: usize) -> Option<(&str, Duration)> {
        let hook = self.hook.get(at)?;
        Some((hook.url.as_deref()?, hook.timeout))
    }

    /// What `config.toml` in the state directory says; all defaults where there is none. Relative paths in it are
    /// relative to it.
    pub(crate) fn read(home: &Home) -> Result<Self> {
        let path = Self::path(home);
        let mut text = String::new();
        match std::fs::File::open(&path).and_then(|file| file.take(MAX).read_to_string(&mut text)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(|e| BoxError::io(format!("cannot read {}", path.display()), e))?,
        };
        let mut settings: Self = toml::from_str(&text).map_err(|e| {
            BoxError::new(ErrorKind::InvalidInput, format!("{} makes no sense", path.display()))
                .caused_by(e.to_string().trim_end().to_owned())
                .with_hint("docs/config.md says what may be in it")
        })?;
        settings.anchor(home.path());
        Ok(settings)
    }

    /// The hooks. One that is a URL becomes a program, too: this one's command line, which posts to it.
    pub(crate) fn hooks(&self, home: &Home) -> Result<Vec<Hook>> {
        self.hook.iter().enumerate().map(|(at, hook)| hook.hook(home, at)).collect()
    }

    fn anchor(&mut self, dir: &Path) {
        let registries = self.registry.values_mut().flat_map(|registry| &mut registry.ca);
        let keys = self.verify.iter_mut().flat_map(|policy| &mut policy.keys);
        for path in registries.chain(keys).chain(&mut self.image.ca).chain(&mut self.net.ca) {
            *path = dir.join(&*path);
        }
    }

    /// What is said of registries.
    pub(crate) fn registries(&self) -> Registries {
        Registries::new(self.registry.clone(), self.image.ca.clone())
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    size(deserializer).map(Some)
}

/// `30d`, `12h`, `90m`, `45s`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let invalid =
        || serde::de::Error::custom(format!("invalid duration {text:?}: write 30d, 12h, 90m or 45s"));
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "d" => DAY,
        "h" => 60 * 60,
        "m" => 60,
        "s" => 1,
        _ => return Err(invalid()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    fn read(text: &str) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        Settings::read(&home)
    }

    #[test]
    fn everything_can_be_said_once() {
        let settings = read(
            "[image]\nmax-size = '20g'\n[rootfs]\nttl = '12h'\nmax-size = '512m'\n\
             [registry.'docker.io']\nmirrors = ['mirror.lan:5000']\n\
             [registry.'mirror.lan:5000']\nplain-http = true\nca = ['lan.pem', '/etc/lan.pem']\n\
             [[verify]]\nprefix = 'ghcr.io/acme'\nkeys = ['acme.pub']\n\
             [net]\ndefault = 'none'\nrules = ['allow host *.pypi.org:443']\nresolvers = ['192.0.2.1', '[::1]:54', 'tls://a.example@::2']\n\
             ca = ['net.pem']\n[net.limits]\nrate = '10m'\ndestination-burst = '1m'\ndns-rate = 50\n",
        )
        .unwrap();
        assert_eq!(settings.image.max_size, Bytes::gib(20));
        assert_eq!(settings.rootfs.ttl, Duration::from_secs(12 * 60 * 60));
        assert_eq!(settings.rootfs.max_size, Bytes::mib(512));
        assert!(settings.verify[0].keys[0].is_absolute());
        assert_eq!(settings.registry["mirror.lan:5000"].ca[1], Path::new("/etc/lan.pem"));
        assert_eq!(settings.net.rules[0].to_string(), "allow host *.pypi.org:443");
        let resolvers: Vec<String> = settings.net.resolvers.iter().map(ToString::to_string).collect();
        assert_eq!(
            (settings.net.default, resolvers),
            (
                NetDefault::None,
                vec!["192.0.2.1:53".into(), "[::1]:54".into(), "tls://a.example@[::2]:853".into()]
            )
        );
        assert!(settings.net.ca[0].is_absolute());
        let limits = settings.net.limits();
        assert_eq!((limits.rate, limits.destination_burst, limits.dns_rate), (10 << 20, 1 << 20, 50));
        assert_eq!(limits.connections, NetLimits::default().connections);
        assert_eq!(read("").unwrap().image.max_size, Bytes::gib(32));
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (text, said) in [
            ("[image]\nmax_size = '1g'", "`max_size`"),
            ("[images]", "`images`"),
            ("[registry.x]\ninsecure = true", "`insecure`"),
            ("[[verify]]\nprefix = ''\nkey = 'x'", "`key`"),
            ("[[verify]]\nkeys = ['x']", "`prefix`"),
            ("[rootfs]\nttl = '1w'", "\"1w\""),
            ("[image]\nmax-size = 20", "integer"),
            ("[net]\nrules = ['allow nobody']", "allow nobody"),
            ("[net]\nresolvers = ['dns.example']", "resolvers"),
            ("[net]\ndefault = 'all'", "all"),
            ("[image", "TOML parse error"),
        ] {
            let error = read(text).unwrap_err();
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains(said), "{text}: {cause}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
