//! What a user asks of a box's network.

use super::{NetDefault, NetPolicy, NetRule, NetworkName, PortMapping, Secret};
use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Whether a box has a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// None: the guest has no network device.
    None,
    /// One of its own, as far as its policy goes.
    #[default]
    Default,
}

/// What a user asked of a box's network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Whether it has one.
    pub mode: NetworkMode,
    /// The networks that it shares with other boxes, by name.
    pub networks: Vec<NetworkName>,
    /// The ports of the box that are reached from outside.
    pub publish: Vec<PortMapping>,
    /// What the box may reach.
    pub policy: NetPolicy,
    /// What it may use there without having it.
    pub secrets: Vec<Secret>,
}

impl NetworkConfig {
    /// Sets what the words of `--network` say: `none`, `default`, or names of networks.
    ///
    /// # Errors
    /// `InvalidInput` for words that go not together or name no network.
    pub fn choose(&mut self, words: &[String]) -> Result<(), BoxError> {
        self.networks.clear();
        self.mode = NetworkMode::Default;
        for word in words {
            match word.as_str() {
                "none" if words.len() == 1 => self.mode = NetworkMode::None,
                "none" => {
                    return Err(BoxError::new(ErrorKind::InvalidInput, "none goes with no other network")
                        .with_hint("leave out --network none, or the other --network"));
                }
                "default" => {}
                "host" => {
                    return Err(BoxError::new(
                        ErrorKind::Unsupported,
                        "a box has no part in the host's network",
                    )
                    .with_hint(
                        "publish ports with -p; let it reach the host with --allow-host host.a3s.internal",
                    ));
                }
                name => self.networks.push(name.parse()?),
            }
        }
        self.networks.sort();
        self.networks.dedup();
        Ok(())
    }

    /// Refuses what makes no sense together.
    ///
    /// # Errors
    /// `InvalidInput` for ports of a box without network, and for ports published twice at one place.
    pub fn validate(&self) -> Result<(), BoxError> {
        if self.mode == NetworkMode::None && !self.publish.is_empty() {
            return Err(BoxError::new(
                ErrorKind::InvalidInput,
                "a box without network has no ports to publish",
            )
            .with_hint("leave out --network none, or --publish"));
        }
        if self.mode == NetworkMode::None && !self.secrets.is_empty() {
            return Err(BoxError::new(
                ErrorKind::InvalidInput,
                "a box without network has nowhere to use a secret",
            )
            .with_hint("leave out --network none, or --secret"));
        }
        Secret::validate(&self.secrets)?;
        for (at, port) in self.publish.iter().enumerate() {
            let same = |other: &PortMapping| other.host == port.host && other.transport == port.transport;
            if port.host.port() != 0 && self.publish[..at].iter().any(same) {
                return Err(BoxError::new(
                    ErrorKind::InvalidInput,
                    format!("{}/{} is published twice", port.host, port.transport),
                )
                .with_hint("give each port of the box a host port of its own, or 0 to have one picked"));
            }
        }
        Ok(())
    }
}

impl FromStr for NetPolicy {
    type Err = BoxError;

    /// A policy file: a rule a line, and `default internet` or `default none`; `#` begins a comment.
    fn from_str(text: &str) -> Result<Self, BoxError> {
        let mut policy = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let at = |error: BoxError| {
                let text = format!("line {} of the network policy is invalid", index + 1);
                BoxError::new(ErrorKind::InvalidInput, text).caused_by(error)
            };
            match line {
                "" => {}
                "default internet" => policy.default = NetDefault::Internet,
                "default none" => policy.default = NetDefault::None,
                rule => policy.rules.push(rule.parse::<NetRule>().map_err(at)?),
            }
        }
        Ok(policy)
    }
}

impl fmt::Display for NetPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        let default = if self.default == NetDefault::None { "none" } else { "internet" };
        writeln!(f, "default {default}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_file_is_read_and_written_alike() {
        let text =
            "# for builds\nallow host *.pypi.org:443 # packages\n\ndeny net 10.0.0.0/8\ndefault none\n";
        let policy: NetPolicy = text.parse().unwrap();
        assert_eq!(policy.to_string(), "allow host *.pypi.org:443\ndeny net 10.0.0.0/8\ndefault none\n");
        assert_eq!(policy.to_string().parse::<NetPolicy>().unwrap(), policy);
        let error = "allow any\nallow nobody".parse::<NetPolicy>().unwrap_err();
        assert_eq!(error.to_string(), "line 2 of the network policy is invalid");
    }

    #[test]
    fn a_box_without_network_has_no_ports() {
        let mut config =
            NetworkConfig { publish: vec!["80:80".parse().unwrap()], ..NetworkConfig::default() };
        config.validate().unwrap();
        config.mode = NetworkMode::None;
        assert!(config.validate().is_err());
    }

    #[test]
    fn a_port_is_published_once() {
        let publish = |ports: &[&str]| NetworkConfig {
            publish: ports.iter().map(|port| port.parse().unwrap()).collect(),
            ..NetworkConfig::default()
        };
        publish(&["80:80", "80:80/udp", "127.0.0.2:80:80", "0:1", "0:1"]).validate().unwrap();
        assert!(publish(&["80:80", "80:81"]).validate().is_err());
    }

    #[test]
    fn the_words_for_a_network() {
        let choose = |words: &[&str]| {
            let mut config = NetworkConfig::default();
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            config.choose(&words).map(|()| config)
        };
        assert_eq!(choose(&[]).unwrap(), NetworkConfig::default());
        assert_eq!(choose(&["none"]).unwrap().mode, NetworkMode::None);
        let named = choose(&["b", "default", "a", "b"]).unwrap();
        assert_eq!((named.mode, named.networks.len()), (NetworkMode::Default, 2));
        for bad in [&["none", "a"][..], &["host"], &["a b"], &[""], &["../a"]] {
            assert!(choose(bad).is_err(), "{bad:?}");
        }
    }
}
