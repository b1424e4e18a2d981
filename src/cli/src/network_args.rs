//! The options of `run` and `create` about the box's network.

use crate::file::read_text;
use a3s_box_core::{
    BoxError, NetDefault, NetPolicy, NetRule, NetworkConfig, NetworkMode, PortMapping, Result, RuleTarget,
    Secret, SecretSource, Verdict,
};
use clap::Args;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A policy file longer than this is none.
const MAX_POLICY: u64 = 1 << 20;

#[derive(Args, Clone)]
pub(crate) struct NetworkArgs {
    /// `none` for no network at all, or a network on which the box meets others; what the image asks for when absent,
    /// else `default`: a network of the box's own
    #[arg(long, value_name = "NETWORK")]
    network: Vec<String>,
    /// Publish a port of the box, on the loopback address unless another is given; host port 0 picks one
    #[arg(short, long, value_name = "[IP:]HOST:GUEST[/udp]")]
    publish: Vec<PortMapping>,
    /// Read the box's network policy from a file, one rule a line; rules given here go before it
    #[arg(long, value_name = "FILE")]
    net_policy: Option<PathBuf>,
    /// Let the box reach a host by name (`*.` for all names below); with it, only what is allowed is open
    #[arg(long, value_name = "NAME[:PORTS][/udp]", value_parser = allow_host)]
    allow_host: Vec<Ordered>,
    /// Keep the box from reaching a host by name
    #[arg(long, value_name = "NAME[:PORTS][/udp]", value_parser = deny_host)]
    deny_host: Vec<Ordered>,
    /// Let the box reach a network, which may be private. The first rule that matches decides
    #[arg(long, value_name = "CIDR[:PORTS][/udp]", value_parser = allow_net)]
    allow_net: Vec<Ordered>,
    /// Keep the box from reaching a network
    #[arg(long, value_name = "CIDR[:PORTS][/udp]", value_parser = deny_net)]
    deny_net: Vec<Ordered>,
    /// Let the box use a secret that it never has: NAME holds a placeholder, in whose place the value goes into requests
    /// to these hosts alone, over TLS (or without it where `http://` is before the host)
    #[arg(long, value_name = "NAME=env:VARIABLE|file:PATH@HOST[:PORT][,HOST]...")]
    secret: Vec<String>,
}

/// A rule, and when it was read: rules of different options have one order, that of the command line.
#[derive(Debug, Clone)]
struct Ordered(usize, NetRule);

fn ordered(rule: Result<NetRule>) -> Result<Ordered> {
    static READ: AtomicUsize = AtomicUsize::new(0);
    Ok(Ordered(READ.fetch_add(1, Ordering::Relaxed), rule?))
}

fn allow_host(text: &str) -> Result<Ordered> {
    ordered(NetRule::host(Verdict::Allow, text))
}

fn deny_host(text: &str) -> Result<Ordered> {
    ordered(NetRule::host(Verdict::Deny, text))
}

fn allow_net(text: &str) -> Result<Ordered> {
    ordered(NetRule::net(Verdict::Allow, text))
}

fn deny_net(text: &str) -> Result<Ordered> {
    ordered(NetRule::net(Verdict::Deny, text))
}

impl NetworkArgs {
    /// What was asked for, over `defaults`.
    pub(crate) fn config(self, defaults: NetworkConfig) -> Result<NetworkConfig> {
        let mut policy: NetPolicy = match &self.net_policy {
            Some(file) => read_text("network policy", file, MAX_POLICY)?.parse()?,
            None => NetPolicy::default(),
        };
        let mut given = [self.allow_host, self.deny_host, self.allow_net, self.deny_net].concat();
        given.sort_by_key(|Ordered(at, _)| *at);
        let given: Vec<NetRule> = given.into_iter().map(|Ordered(_, rule)| rule).collect();
        // A list of names is a list of all there is; the host's own name opens the host and closes nothing.
        if given.iter().any(|rule| rule.verdict == Verdict::Allow && names_the_internet(rule)) {
            policy.default = NetDefault::None;
        }
        policy.rules.splice(0..0, given);
        // Not clap's to read: it would repeat a value that somebody has put there by mistake.
        let secrets = self.secret.iter().map(|text| secret(text)).collect::<Result<_>>()?;
        let mut config = NetworkConfig { policy, secrets, ..defaults };
        if !self.network.is_empty() {
            config.choose(&self.network)?;
        }
        if !self.publish.is_empty() || config.mode == NetworkMode::None && !self.network.is_empty() {
            config.publish = self.publish;
        }
        Ok(config)
    }
}

fn secret(text: &str) -> Result<Secret> {
    let mut secret: Secret = text.parse()?;
    if let SecretSource::File(path) = &mut secret.source {
        // The box may be started from elsewhere.
        *path = std::path::absolute(&path).map_err(|e| BoxError::io("cannot tell where this is", e))?;
    }
    Ok(secret)
}

fn names_the_internet(rule: &NetRule) -> bool {
    matches!(&rule.target, RuleTarget::Name(name) if !name.matches("host.a3s.internal"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn policy(words: &str) -> String {
        let cli = Cli::try_parse_from(std::iter::once("x").chain(words.split_ascii_whitespace())).unwrap();
        cli.network.config(NetworkConfig::default()).unwrap().policy.to_string()
    }

    #[test]
    fn rules_keep_the_order_of_the_command_line() {
        assert_eq!(policy(""), "default internet\n");
        assert_eq!(
            policy(
                "--deny-net 10.1.0.0/16 --allow-net 10.0.0.0/8 --deny-host a.example --allow-net 192.0.2.1"
            ),
            "deny net 10.1.0.0/16\nallow net 10.0.0.0/8\ndeny host a.example\nallow net 192.0.2.1\ndefault internet\n"
        );
        assert_eq!(
            policy("--allow-host host.a3s.internal:80"),
            "allow host host.a3s.internal:80\ndefault internet\n"
        );
        assert_eq!(policy("--allow-host *.pypi.org:443"), "allow host *.pypi.org:443\ndefault none\n");
    }
}
