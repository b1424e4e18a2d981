//! Secrets that a box uses and never has: where their values are kept, and where they may go.

use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A secret: `NAME=env:VARIABLE@HOST[,HOST]` or `NAME=file:PATH@HOST[,HOST]`.
///
/// Its value is not in here: it is read anew whenever the box is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The variable in the box's environment that holds the placeholder.
    pub name: String,
    /// Where the value is.
    pub source: SecretSource,
    /// Where it may go.
    pub hosts: Vec<SecretHost>,
    /// What the box has in its place; picked when the box is made.
    #[serde(default)]
    pub placeholder: String,
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// In a variable of the environment of whoever starts the box.
    Env(String),
    /// In a file of the host's.
    File(PathBuf),
}

/// A host that a secret may go to: `NAME[:PORT]` over TLS, `http://NAME[:PORT]` without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHost {
    /// Its name, in lower case.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Whether it has to prove who it is.
    pub tls: bool,
}

impl Secret {
    /// What every placeholder begins with.
    pub const PREFIX: &str = "a3s-secret-";
    /// The fewest bytes of a value: it is looked for in what servers answer, where less would be found by chance.
    pub const MIN_VALUE: usize = 8;
    /// The most bytes of a value.
    pub const MAX_VALUE: usize = 8192;
    /// The most secrets of a box.
    pub const MOST: usize = 32;

    /// Refuses secrets that go not together.
    pub(super) fn validate(secrets: &[Self]) -> Result<(), BoxError> {
        let refuse = |message: String, hint: &str| {
            Err(BoxError::new(ErrorKind::InvalidInput, message).with_hint(hint))
        };
        if secrets.len() > Self::MOST {
            return refuse(format!("{} secrets are too many", secrets.len()), "a box may have 32");
        }
        for (at, secret) in secrets.iter().enumerate() {
            if secrets[..at].iter().any(|other| other.name == secret.name) {
                return refuse(
                    format!("secret {} is given twice", secret.name),
                    "name all its hosts at once: NAME=env:VARIABLE@HOST,HOST",
                );
            }
        }
        Ok(())
    }
}

impl FromStr for Secret {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        // Whoever writes the value itself must not read it in an error.
        let refuse = |what: &str| {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid secret: {what}"))
                .with_hint("write NAME=env:VARIABLE@api.example.com or NAME=file:PATH@api.example.com[:PORT]")
        };
        let (name, rest) = text.split_once('=').ok_or_else(|| refuse("it has no name"))?;
        if !is_variable(name) {
            return Err(refuse("its name is no name of a variable"));
        }
        let (source, hosts) = rest.rsplit_once('@').ok_or_else(|| refuse("it names no host"))?;
        let source = match source.split_once(':') {
            Some(("env", variable)) if is_variable(variable) => SecretSource::Env(variable.to_owned()),
            Some(("file", path)) if !path.is_empty() => SecretSource::File(path.into()),
            _ => return Err(refuse("its value is to be in env:VARIABLE or file:PATH")),
        };
        let hosts = hosts.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), source, hosts, placeholder: String::new() })
    }
}

fn is_variable(name: &str) -> bool {
    let word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word && name.bytes().next().is_some_and(|b| !b.is_ascii_digit()) && name.len() <= 255
}

impl FromStr for SecretHost {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let refuse = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid host of a secret {text:?}")).with_hint(
                "write api.example.com, api.example.com:8443, or http://api.example.com without TLS",
            )
        };
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(refuse()),
            None => (true, text),
        };
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| refuse())?),
            None => (rest, if tls { 443 } else { 80 }),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        // An address proves nothing about who is there.
        let named = name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err();
        if named && port > 0 { Ok(Self { name, port, tls }) } else { Err(refuse()) }
    }
}

impl fmt::Display for SecretHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.tls { "" } else { "http://" }, self.name)?;
        if self.port == if self.tls { 443 } else { 80 } { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl TryFrom<String> for SecretHost {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<SecretHost> for String {
    fn from(host: SecretHost) -> Self {
        host.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_name_a_source_and_hosts() {
        let secret: Secret =
            "TOKEN=env:MY_TOKEN@API.example.com.,b.example:8443,http://c.example,http://d.example:81"
                .parse()
                .unwrap();
        assert_eq!((secret.name.as_str(), &secret.source), ("TOKEN", &SecretSource::Env("MY_TOKEN".into())));
        let hosts: Vec<String> = secret.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["api.example.com", "b.example:8443", "http://c.example", "http://d.example:81"]);
        let secret: Secret = "T=file:/a@b/c@host".parse().unwrap();
        assert_eq!(secret.source, SecretSource::File("/a@b/c".into()));
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<Secret>(&json).unwrap(), secret);
    }

    #[test]
    fn nonsense_is_refused_and_not_repeated() {
        for bad in [
            "",
            "T",
            "T=",
            "T=env:V",
            "T=hunter2hunter2@h",
            "1=env:V@h",
            "T=env:@h",
            "T=env:V@",
            "T=env:V@1.2.3.4",
            "T=env:V@h:0",
            "T=env:V@h:x",
            "T=env:V@*.h",
            "T=env:V@ftp://h",
            "T=env:V@h/x",
            "T=env:V@h,,i",
            "T=file:@h",
            "T=env:V@[::1]",
            "T=env:V@a b",
        ] {
            let error = bad.parse::<Secret>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let twice = ["T=env:V@h".parse().unwrap(), "T=env:W@i".parse().unwrap()];
        assert!(Secret::validate(&twice).is_err());
    }
}
