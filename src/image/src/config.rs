//! The image configuration: what to run, for which platform, and the digests that the layers unpack to
//! (OCI image spec, config; `Healthcheck` and `Shell` are Docker's).

use crate::digest::Hasher;
use crate::manifest::Platform;
use crate::{Digest, ImageError, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// An image configuration. Fields that we do not use are not kept; the blob itself stays as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The platform that the image runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// When the image was made, in RFC 3339, as its maker wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What to run, and how.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ProcessConfig,
    /// The digests of the unpacked layers.
    pub(crate) rootfs: RootfsConfig,
    /// How the image was made, the oldest step first, as its maker wrote it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Step>,
}

/// A step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// When, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// A remark.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// What the image asks for when it is run. Empty means that the image does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ProcessConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// `NAME=value` pairs.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// Arguments of the entrypoint, or the whole command where there is none.
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// The signal that asks the process to end, by name or number.
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
    /// `port/protocol` as keys.
    #[serde(deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Mount points that should outlive the container, as keys.
    #[serde(deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Empty>,
    /// Free-form labels.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// How to see whether the process is well.
    pub healthcheck: Option<Healthcheck>,
}

/// The empty object by which Go spells a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A health check as Docker defines it. Durations are in nanoseconds; zero means Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `NONE`, `CMD` and arguments, or `CMD-SHELL` and a line.
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: u64,
    /// Until a check counts as failed.
    pub timeout: u64,
    /// After the start, while failures do not count.
    pub start_period: u64,
    /// Between two checks during the start period.
    pub start_interval: u64,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootfsConfig {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl ImageConfig {
    /// Parses the JSON of `thing`.
    pub(crate) fn parse(thing: &str, json: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(json).map_err(|e| ImageError::corrupt(thing, e))?;
        if config.rootfs.kind != "layers" {
            return Err(ImageError::unsupported(
                thing,
                format!("a root file system of type {:?}", config.rootfs.kind),
            ));
        }
        Ok(config)
    }

    /// The digests of the unpacked layers, bottom first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// The identity of all layers together (OCI image spec, layer ChainID); no layers hash as no bytes.
    pub fn chain_id(&self) -> Digest {
        let mut layers = self.rootfs.diff_ids.iter();
        let Some(first) = layers.next() else { return Digest::of(b"") };
        layers.fold(*first, |chain, diff| {
            let mut hasher = Hasher::default();
            hasher.update(format!("{chain} {diff}").as_bytes());
            hasher.finish()
        })
    }
}

/// Go writes an empty list, map or string as `null`.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_configuration_is_read_whole() {
        let diff = Digest::of(b"layer");
        let json = format!(
            r#"{{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","container":"x",
            "config":{{"Hostname":"","User":"1000:100","Env":["A=b"],"Cmd":null,"Entrypoint":["/e"],
            "WorkingDir":"/w","StopSignal":"SIGINT","ExposedPorts":{{"80/tcp":{{}}}},"Volumes":null,
            "Labels":{{"k":"v"}},"Healthcheck":{{"Test":["CMD","x"],"Interval":5000000000,"Retries":3}}}},
            "rootfs":{{"type":"layers","diff_ids":["{diff}"]}},"history":[]}}"#
        );
        let config = ImageConfig::parse("x", json.as_bytes()).unwrap();
        assert_eq!(config.config.user, "1000:100");
        assert_eq!(config.config.cmd, Vec::<String>::new());
        assert!(config.config.exposed_ports.contains_key("80/tcp"));
        assert_eq!(config.config.healthcheck.as_ref().unwrap().retries, 3);
        assert_eq!(config.diff_ids(), [diff]);
        assert_eq!(config.chain_id(), diff);
    }

    #[test]
    fn a_chain_id_depends_on_every_layer_below() {
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        let chain = |diff_ids: Vec<Digest>| {
            let rootfs = RootfsConfig { kind: "layers".into(), diff_ids };
            let config = ProcessConfig::default();
            ImageConfig { platform: Platform::host(), created: None, config, rootfs, history: Vec::new() }
                .chain_id()
        };
        assert_eq!(chain(vec![a, b]), Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(chain(vec![a, b]), chain(vec![b, a]));
    }
}
