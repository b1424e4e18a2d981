//! Rules about what a box may reach, as people write them. What they decide is the network's to say.

use super::{Cidr, Ports, Transport};
use crate::{BoxError, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// A host name, or with `*.` before it all names below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    name: String,
    below: bool,
}

impl NamePattern {
    /// Whether `name` (lower case, no dot at the end) is meant.
    pub fn matches(&self, name: &str) -> bool {
        if !self.below {
            return name == self.name;
        }
        name.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl FromStr for NamePattern {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, below) = lower.strip_prefix("*.").map_or((lower.as_str(), false), |rest| (rest, true));
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        // A last label of digits makes it an address, which a name never is.
        let numeric = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.len() <= 253 && name.split('.').all(label) && !numeric {
            return Ok(Self { name: name.to_owned(), below });
        }
        let hint = if text.parse::<IpAddr>().is_ok() || text.parse::<Cidr>().is_ok() {
            "this is an address: use --allow-net or --deny-net"
        } else {
            "write api.example.com, or *.example.com for all names below; other scripts in their xn-- form"
        };
        Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid host name {text:?}")).with_hint(hint))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleTarget {
    /// Everybody.
    Any,
    /// Hosts by name.
    Name(NamePattern),
    /// Hosts by address.
    Net(Cidr),
}

/// One rule: `allow host *.pypi.org:443`, `deny net 10.0.0.0/8`, `allow net [fd00::]/8:53 udp`, `deny any`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetRule {
    /// What it says.
    pub verdict: Verdict,
    /// Whom it is about.
    pub target: RuleTarget,
    /// Which ports.
    pub ports: Ports,
    /// Over what; both when absent, but for names, which mean TCP then.
    pub transport: Option<Transport>,
}

impl NetRule {
    /// The rule of `--allow-host` and `--deny-host`: `NAME[:PORTS][/udp]`.
    ///
    /// # Errors
    /// `InvalidInput` for what is no such thing.
    pub fn host(verdict: Verdict, text: &str) -> Result<Self, BoxError> {
        let (text, transport) = split_transport(text)?;
        let (name, ports) = text.split_once(':').map_or((text, None), |(n, p)| (n, Some(p)));
        let ports = ports.map_or(Ok(Ports::all()), str::parse)?;
        Ok(Self { verdict, target: RuleTarget::Name(name.parse()?), ports, transport })
    }

    /// The rule of `--allow-net` and `--deny-net`: `CIDR[:PORTS][/udp]`, IPv6 with ports as `[ADDR]/LEN:PORTS`.
    ///
    /// # Errors
    /// `InvalidInput` for what is no such thing.
    pub fn net(verdict: Verdict, text: &str) -> Result<Self, BoxError> {
        let (text, transport) = split_transport(text)?;
        let (net, ports) = match text.strip_prefix('[') {
            Some(rest) => {
                // Without its end the bracket stays, and is no part of any address.
                let (address, tail) = rest.split_once(']').unwrap_or((text, ""));
                let (length, ports) = tail.split_once(':').map_or((tail, None), |(l, p)| (l, Some(p)));
                (format!("{address}{length}"), ports)
            }
            None if text.matches(':').count() > 1 => (text.to_owned(), None),
            None => {
                let (net, ports) = text.split_once(':').map_or((text, None), |(n, p)| (n, Some(p)));
                (net.to_owned(), ports)
            }
        };
        let ports = ports.map_or(Ok(Ports::all()), str::parse)?;
        Ok(Self { verdict, target: RuleTarget::Net(net.parse()?), ports, transport })
    }
}

/// Takes `/tcp` or `/udp` off the end.
fn split_transport(text: &str) -> Result<(&str, Option<Transport>), BoxError> {
    match text.rsplit_once('/') {
        Some((rest, word)) if word.bytes().any(|b| b.is_ascii_alphabetic()) => {
            Ok((rest, Some(word.parse()?)))
        }
        _ => Ok((text, None)),
    }
}

impl FromStr for NetRule {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let mut words = text.split_ascii_whitespace();
        let refuse = || {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid network rule {text:?}")).with_hint(
                "write 'allow host *.pypi.org:443', 'deny net 10.0.0.0/8', 'allow net 192.0.2.0/24:53/udp' or 'deny any'",
            )
        };
        let verdict = match words.next() {
            Some("allow") => Verdict::Allow,
            Some("deny") => Verdict::Deny,
            _ => return Err(refuse()),
        };
        let rule = match (words.next(), words.next()) {
            (Some("host"), Some(host)) => Self::host(verdict, host)?,
            (Some("net"), Some(net)) => Self::net(verdict, net)?,
            (Some("any"), None) => {
                Self { verdict, target: RuleTarget::Any, ports: Ports::all(), transport: None }
            }
            _ => return Err(refuse()),
        };
        if words.next().is_some() { Err(refuse()) } else { Ok(rule) }
    }
}

impl fmt::Display for NetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.verdict == Verdict::Allow { "allow" } else { "deny" })?;
        match &self.target {
            RuleTarget::Any => return f.write_str(" any"),
            RuleTarget::Name(name) => write!(f, " host {name}")?,
            RuleTarget::Net(net) if self.ports.is_all() => write!(f, " net {net}")?,
            RuleTarget::Net(net) => {
                let text = net.to_string();
                match text.split_once('/') {
                    _ if !text.contains(':') => write!(f, " net {text}")?,
                    Some((address, length)) => write!(f, " net [{address}]/{length}")?,
                    None => write!(f, " net [{text}]")?,
                }
            }
        }
        if !self.ports.is_all() {
            write!(f, ":{}", self.ports)?;
        }
        self.transport.map_or(Ok(()), |transport| write!(f, "/{transport}"))
    }
}

impl TryFrom<String> for NetRule {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<NetRule> for String {
    fn from(rule: NetRule) -> Self {
        rule.to_string()
    }
}

/// What holds where no rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetDefault {
    /// The internet is open; the host, private networks, link-local and metadata addresses are not.
    #[default]
    Internet,
    /// Nothing is open.
    None,
}

/// What a box may reach. The first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetPolicy {
    /// What holds where no rule does.
    pub default: NetDefault,
    /// The rules, in order.
    pub rules: Vec<NetRule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written_alike() {
        for text in [
            "allow host *.pypi.org:443",
            "deny host evil.example",
            "allow host time.example:123/udp",
            "deny net 10.0.0.0/8",
            "allow net 192.0.2.7:80,443,8000-8999/tcp",
            "allow net [2001:db8::]/32:53/udp",
            "allow net [2001:db8::1]:53",
            "deny net 2001:db8::/32",
            "deny net 2001:db8::/32/udp",
            "deny any",
        ] {
            let rule: NetRule = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "allow",
            "permit any",
            "allow any thing",
            "allow host",
            "allow host a b",
            "allow host 10.0.0.1",
            "allow host *",
            "allow host a..b",
            "allow host a:0",
            "allow host a:9-8",
            "allow host a:80/icmp",
            "allow net example.com",
            "deny net 10.0.0.0/8:x",
            "deny net [::1:53",
        ] {
            assert!(text.parse::<NetRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_means_the_names_below() {
        let pattern: NamePattern = "*.Example.com".parse().unwrap();
        assert!(pattern.matches("a.example.com") && pattern.matches("a.b.example.com"));
        for other in ["example.com", ".example.com", "badexample.com", "example.com.evil.org", ""] {
            assert!(!pattern.matches(other), "{other}");
        }
    }
}
