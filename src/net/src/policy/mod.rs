//! What the box may reach: the one place that decides, for DNS, addresses, TLS names and HTTP hosts alike.
//!
//! The first rule that matches decides; where none does, the default. A rule about a name means addresses that
//! our own DNS answered for that name to this box, and never leads to addresses that are not the internet. An
//! address alone does not say which of its names is meant, so wherever a rule about a name could match, the
//! connection's first bytes are read before anything of them goes out ([`Passage::Inspect`]). Knows nothing of
//! sockets. Used by all that carries traffic, and by `net explain`.

mod names;
mod special;

pub(crate) use names::Names;
pub(crate) use special::Special;

use crate::hello::Hello;
use a3s_box_core::{NetDefault, NetPolicy, NetRule, RuleTarget, Secret, SecretHost, Transport, Verdict};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The name under which a box reaches its host, where a rule allows it.
pub const HOST_NAME: &str = "host.a3s.internal";

/// Ports that other resolvers listen on: DNS, and DNS over TLS or QUIC.
const RESOLVER_PORTS: [u16; 2] = [53, 853];
/// Ports on which everybody speaks HTTP or TLS, so that a connection that does neither hides something.
const WEB_PORTS: [u16; 2] = [80, 443];

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub verdict: Verdict,
    /// The rule that says so, as the user wrote it, or which of the built-in ones.
    pub rule: String,
    /// The reason, as a sentence without its end.
    pub reason: String,
}

impl Decision {
    fn allow(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Allow, rule: rule.into(), reason: reason.into() }
    }

    pub(crate) fn deny(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Deny, rule: rule.into(), reason: reason.into() }
    }

    /// Whether it may.
    pub fn is_allow(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

/// What becomes of a connection whose first packet is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is decided.
    Decided(Decision),
    /// Its first bytes will say; until then it is open this far.
    Inspect(Decision),
}

/// The policy of one box, with what its DNS has told it.
#[derive(Debug)]
pub(crate) struct Policy {
    rules: Vec<NetRule>,
    default: NetDefault,
    names: Names,
    gateway: [IpAddr; 2],
    secrets: Vec<Secret>,
}

/// What a connection is for that may need secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The host.
    pub(crate) host: String,
    /// Whether it has to prove who it is.
    pub(crate) tls: bool,
    /// Which of the box's secrets may go there.
    pub(crate) secrets: Vec<usize>,
}

impl Policy {
    /// The policy of a box behind `gateway`, with its secrets.
    pub(crate) fn new(policy: &NetPolicy, secrets: &[Secret], gateway: [IpAddr; 2]) -> Self {
        let (rules, secrets) = (policy.rules.clone(), secrets.to_vec());
        Self { rules, default: policy.default, names: Names::default(), gateway, secrets }
    }

    /// Notes an answer that the box was given.
    pub(crate) fn learn(&mut self, address: IpAddr, name: &str, ttl: Duration, now: Instant) {
        self.names.learn(address, name, ttl, now);
    }

    /// The names that the box was answered `address` for.
    pub(crate) fn names_of(&self, address: IpAddr, now: Instant) -> std::collections::BTreeSet<&str> {
        self.names.of(address, now)
    }

    /// Whether the box may be told where `name` is.
    pub(crate) fn query(&self, name: &str) -> Decision {
        for rule in &self.rules {
            let matches = match &rule.target {
                RuleTarget::Any => true,
                RuleTarget::Name(pattern) => pattern.matches(name),
                RuleTarget::Net(_) => false,
            };
            let whole = rule.ports.is_all() && rule.transport.is_none();
            match rule.verdict {
                Verdict::Allow if matches => return Decision::allow(rule.to_string(), "the name is allowed"),
                Verdict::Deny if matches && whole => {
                    return Decision::deny(rule.to_string(), "the name is denied");
                }
                _ => {}
            }
        }
        if name == HOST_NAME {
            return Decision::deny("built-in: host", format!("{HOST_NAME} must be allowed by name"));
        }
        match self.default {
            NetDefault::Internet => Decision::allow("default: internet", "names of the internet are open"),
            NetDefault::None => Decision::deny("default: none", format!("no rule allows the name {name}")),
        }
    }

    /// Whether an address may be told as the answer to `name`, which [`Policy::query`] allows. A name that
    /// leads into private networks is somebody's trick (DNS rebinding), unless they are allowed as such.
    pub(crate) fn answer(&self, address: IpAddr) -> Result<(), Special> {
        let Some(special) = Special::of(address) else { return Ok(()) };
        let open = self.rules.iter().find_map(|rule| match rule.target {
            RuleTarget::Net(net) if net.contains(address) => Some(rule.verdict == Verdict::Allow),
            RuleTarget::Any => Some(rule.verdict == Verdict::Allow),
            _ => None,
        });
        if open == Some(true) { Ok(()) } else { Err(special) }
    }

    /// What becomes of a new TCP connection.
    pub(crate) fn connect(&self, to: SocketAddr, now: Instant) -> Passage {
        let unnamed = self.decide(to, Transport::Tcp, None);
        let secret = self.could_need_secrets(to, now);
        if !(self.depends_on_name(to) || secret && unnamed.is_allow()) {
            return Passage::Decided(unnamed);
        }
        if unnamed.is_allow() {
            return Passage::Inspect(unnamed);
        }
        let named = self.names.of(to.ip(), now);
        match named.iter().map(|name| self.decide(to, Transport::Tcp, Some(name))).find(Decision::is_allow) {
            Some(hope) if self.is_gateway(to.ip()) && !secret => Passage::Decided(hope),
            Some(hope) => Passage::Inspect(hope),
            None => Passage::Decided(unnamed),
        }
    }

    /// Whether a UDP flow may be.
    pub(crate) fn datagram(&self, to: SocketAddr, now: Instant) -> Decision {
        let unnamed = self.decide(to, Transport::Udp, None);
        let named = self.names.of(to.ip(), now);
        let mut named = named.iter().map(|name| self.decide(to, Transport::Udp, Some(name)));
        if unnamed.is_allow() {
            return named.find(|d| !d.is_allow()).unwrap_or(unnamed);
        }
        named.find(Decision::is_allow).unwrap_or(unnamed)
    }

    /// Whether an echo request may go to `address`: where some rule or the default opens the address as such.
    pub(crate) fn echo(&self, address: IpAddr) -> Decision {
        for rule in &self.rules {
            let matches = match rule.target {
                RuleTarget::Any => true,
                RuleTarget::Net(net) => net.contains(address),
                RuleTarget::Name(_) => false,
            };
            if matches && rule.ports.is_all() && rule.transport.is_none() {
                return Decision { verdict: rule.verdict, rule: rule.to_string(), reason: reason(rule) };
            }
        }
        self.fallback(SocketAddr::new(address, 0))
    }

    /// What becomes of a connection to `to` whose first bytes say `hello`.
    pub(crate) fn confirm(&self, to: SocketAddr, hello: &Hello, now: Instant) -> Decision {
        let unnamed = || self.decide(to, Transport::Tcp, None);
        match hello {
            Hello::Tls { name: Some(name), encrypted } => {
                let decision = self.claimed(to, name, now);
                // What is encrypted may be another name than the one that was allowed.
                if *encrypted && decision.is_allow() && !unnamed().is_allow() {
                    return Decision::deny(decision.rule, "an encrypted client hello hides the name");
                }
                decision
            }
            Hello::Http { names } => {
                let mut decisions = names.iter().map(|name| self.claimed(to, name, now));
                let first = decisions.next().unwrap_or_else(unnamed);
                decisions.find(|d| !d.is_allow()).unwrap_or(first)
            }
            Hello::Tls { name: None, .. } => self.nameless(to, "the TLS hello names no server"),
            Hello::Opaque if WEB_PORTS.contains(&to.port()) => {
                self.nameless(to, "the connection is neither TLS nor HTTP, so nothing shows the name")
            }
            Hello::Opaque => {
                let names = self.names.of(to.ip(), now);
                let named = names.iter().filter(|_| !unnamed().is_allow());
                // Who allows a name on a port of its own knows what is spoken there.
                let open = named
                    .map(|name| (name, self.rule_of(to, Transport::Tcp, Some(name))))
                    .find(|(_, rule)| rule.is_some_and(|r| r.verdict == Verdict::Allow && !r.ports.is_all()));
                match open {
                    Some((name, _)) => self.decide(to, Transport::Tcp, Some(name)),
                    None => self.nameless(to, "nothing shows the name; allow it with its port"),
                }
            }
            Hello::Unclear(what) => self.nameless(to, what),
        }
    }

    /// What becomes of a connection to `to` that has not said in time whom it is for.
    pub(crate) fn silent(&self, to: SocketAddr) -> Decision {
        let unnamed = self.decide(to, Transport::Tcp, None);
        if unnamed.is_allow() && !self.depends_on_name(to) {
            return unnamed;
        }
        Decision::deny(unnamed.rule, "the connection never said whom it is for")
    }

    /// The secrets that a connection to `to` may need whose first bytes say `hello`, and which [`Policy::confirm`] allows.
    /// Over TLS the host itself proves who it is; without, our DNS must have answered its name with this address.
    pub(crate) fn secrets(&self, to: SocketAddr, hello: &Hello, now: Instant) -> Option<Bound> {
        let (host, tls) = match hello {
            Hello::Tls { name: Some(name), .. } => (name, true),
            Hello::Http { names } if names.windows(2).all(|pair| pair[0] == pair[1]) => {
                (names.first()?, false)
            }
            _ => return None,
        };
        if self.is_gateway(to.ip()) && host != HOST_NAME || !tls && !self.names.holds(to.ip(), host, now) {
            return None;
        }
        let secrets = self.secrets_of(host, to.port(), tls);
        (!secrets.is_empty()).then(|| Bound { host: host.clone(), tls, secrets })
    }

    /// The names of the secrets that would go to `port` of `host`, and whether over TLS.
    pub(crate) fn explain_secrets(&self, host: &str, port: u16) -> Vec<(String, bool)> {
        let of = |tls| self.secrets_of(host, port, tls).into_iter().map(move |at| (at, tls));
        let name = |(at, tls): (usize, bool)| Some((self.secrets.get(at)?.name.clone(), tls));
        of(true).chain(of(false)).filter_map(name).collect()
    }

    fn secrets_of(&self, host: &str, port: u16, tls: bool) -> Vec<usize> {
        let same = |h: &SecretHost| h.name == host && h.port == port && h.tls == tls;
        let all = self.secrets.iter().enumerate();
        all.filter(|(_, secret)| secret.hosts.iter().any(same)).map(|(at, _)| at).collect()
    }

    /// Whether a connection to `to` has to show whether it is for a host of a secret.
    fn could_need_secrets(&self, to: SocketAddr, now: Instant) -> bool {
        self.secrets.iter().flat_map(|secret| &secret.hosts).any(|host| {
            let there = if self.is_gateway(to.ip()) {
                host.name == HOST_NAME
            } else {
                host.tls || self.names.holds(to.ip(), &host.name, now)
            };
            host.port == to.port() && there
        })
    }

    /// Says what would become of a connection to `port` of `name` or `address`, and why.
    pub(crate) fn explain(
        &self,
        name: Option<&str>,
        addresses: &[IpAddr],
        port: u16,
        transport: Transport,
    ) -> Vec<(Option<IpAddr>, Decision)> {
        if let Some(name) = name {
            let query = self.query(name);
            if !query.is_allow() {
                return vec![(None, query)];
            }
        }
        let mut decisions = Vec::new();
        for &address in addresses {
            let to = SocketAddr::new(address, port);
            let decision = match (name, self.answer(address)) {
                (Some(name), Err(special)) if !self.is_gateway(address) => Decision::deny(
                    format!("built-in: {}", special.name()),
                    format!(
                        "{name} leads to {address}, which is not the internet; allow it with --allow-net {address}"
                    ),
                ),
                _ => self.decide(to, transport, name),
            };
            decisions.push((Some(address), decision));
        }
        decisions
    }

    /// Decides for a name that the connection itself claims, which counts for an allowance only if our DNS
    /// answered it with this very address.
    fn claimed(&self, to: SocketAddr, name: &str, now: Instant) -> Decision {
        let decision = self.decide(to, Transport::Tcp, Some(name));
        if !decision.is_allow() || self.names.holds(to.ip(), name, now) {
            return decision;
        }
        let unnamed = self.decide(to, Transport::Tcp, None);
        if unnamed.is_allow() {
            return unnamed;
        }
        let reason = format!("{name} is allowed, but {} is not what DNS answered for it", to.ip());
        Decision::deny(decision.rule, reason)
    }

    fn nameless(&self, to: SocketAddr, why: &str) -> Decision {
        let decision = self.decide(to, Transport::Tcp, None);
        if decision.is_allow() { decision } else { Decision::deny(decision.rule, why) }
    }

    fn decide(&self, to: SocketAddr, transport: Transport, name: Option<&str>) -> Decision {
        match self.rule_of(to, transport, name) {
            Some(rule) => Decision { verdict: rule.verdict, rule: rule.to_string(), reason: reason(rule) },
            None => self.fallback(to),
        }
    }

    /// The first rule that matches.
    fn rule_of(&self, to: SocketAddr, transport: Transport, name: Option<&str>) -> Option<&NetRule> {
        self.rules.iter().find(|rule| {
            let named = matches!(rule.target, RuleTarget::Name(_));
            let spoken = rule.transport.or(named.then_some(Transport::Tcp));
            if !rule.ports.contains(to.port()) || spoken.is_some_and(|t| t != transport) {
                return false;
            }
            match &rule.target {
                RuleTarget::Any => true,
                RuleTarget::Net(net) => net.contains(to.ip()),
                RuleTarget::Name(pattern) => {
                    let inside = Special::of(to.ip()).is_some();
                    let host = name == Some(HOST_NAME) && self.is_gateway(to.ip());
                    name.is_some_and(|name| pattern.matches(name))
                        && (rule.verdict == Verdict::Deny || !inside || host)
                }
            }
        })
    }

    fn fallback(&self, to: SocketAddr) -> Decision {
        if self.is_gateway(to.ip()) {
            let reason = format!("this is the host; allow {HOST_NAME}:{}", to.port());
            return Decision::deny("built-in: host", reason);
        }
        if let Some(special) = Special::of(to.ip()) {
            let reason = format!("{} is not the internet; allow it with --allow-net", to.ip());
            return Decision::deny(format!("built-in: {}", special.name()), reason);
        }
        match self.default {
            NetDefault::None => Decision::deny("default: none", format!("no rule allows {to}")),
            NetDefault::Internet if RESOLVER_PORTS.contains(&to.port()) => {
                Decision::deny("built-in: resolver", "names are asked of the gateway alone")
            }
            NetDefault::Internet => Decision::allow("default: internet", "the internet is open"),
        }
    }

    /// Whether a rule about names stands before the one that decides for the address.
    fn depends_on_name(&self, to: SocketAddr) -> bool {
        for rule in &self.rules {
            let about = rule.ports.contains(to.port()) && rule.transport.is_none_or(|t| t == Transport::Tcp);
            match rule.target {
                RuleTarget::Name(_) if about => return true,
                RuleTarget::Any if about => return false,
                RuleTarget::Net(net) if about && net.contains(to.ip()) => return false,
                _ => {}
            }
        }
        false
    }

    fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateway.contains(&address)
    }
}

fn reason(rule: &NetRule) -> String {
    let verdict = if rule.verdict == Verdict::Allow { "allowed" } else { "denied" };
    let what = match rule.target {
        RuleTarget::Any => "everything is",
        RuleTarget::Name(_) => "the name is",
        RuleTarget::Net(_) => "the network is",
    };
    format!("{what} {verdict}")
}

#[cfg(test)]
mod tests;
