//! The allow-list that a run needed, from what was recorded of it: `--net-learn`.

use super::{NetDefault, NetPolicy, NetRecord, NetRule, NetSubject, NetWay, Verdict};
use std::collections::BTreeSet;
use std::net::IpAddr;

impl NetPolicy {
    /// The narrowest policy under which the run that left `records` could have done the same.
    pub fn learned<'a>(records: impl IntoIterator<Item = &'a NetRecord>) -> Self {
        let mut rules = BTreeSet::new();
        for record in records {
            if record.verdict != Verdict::Allow || record.way != NetWay::Out {
                continue;
            }
            // What we answer ourselves, and other boxes, need no rule.
            if record.rule.starts_with("built-in") || record.rule.starts_with("network ") {
                continue;
            }
            let end = if record.subject == NetSubject::Udp { "/udp" } else { "" };
            let text = match (record.subject, &record.name, record.address, record.port) {
                (NetSubject::Tcp | NetSubject::Udp, Some(name), _, Some(port)) => {
                    format!("allow host {name}:{port}{end}")
                }
                (NetSubject::Tcp | NetSubject::Udp, None, Some(IpAddr::V4(address)), Some(port)) => {
                    format!("allow net {address}:{port}{end}")
                }
                (NetSubject::Tcp | NetSubject::Udp, None, Some(IpAddr::V6(address)), Some(port)) => {
                    format!("allow net [{address}]:{port}{end}")
                }
                (NetSubject::Icmp, _, Some(address), _) => format!("allow net {address}"),
                _ => continue,
            };
            rules.insert(text);
        }
        // A name in a record is what a guest said; one that makes no rule is none.
        let rules = rules.iter().filter_map(|text| text.parse::<NetRule>().ok()).collect();
        Self { default: NetDefault::None, rules }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_needed_becomes_its_list() {
        let record = |subject, name: Option<&str>, address: &str, port, verdict, rule: &str| NetRecord {
            time: 0,
            id: "box".into(),
            subject,
            way: NetWay::Out,
            name: name.map(str::to_owned),
            address: address.parse().ok(),
            port: Some(port),
            verdict,
            rule: rule.into(),
            reason: String::new(),
            sent: 0,
            received: 0,
            duration: 0,
            secrets: Vec::new(),
            more: 0,
        };
        use NetSubject::{Dns, Tcp, Udp};
        use Verdict::{Allow, Deny};
        let records = [
            record(Dns, Some("pypi.org"), "", 0, Allow, "default: internet"),
            record(Tcp, Some("pypi.org"), "192.0.2.1", 443, Allow, "default: internet"),
            record(Tcp, Some("pypi.org"), "192.0.2.2", 443, Allow, "default: internet"),
            record(Udp, None, "2001:db8::1", 123, Allow, "default: internet"),
            record(Tcp, None, "10.0.0.1", 80, Deny, "built-in: private range"),
            record(Tcp, None, "10.163.80.1", 53, Allow, "built-in: DNS"),
            record(Tcp, Some("a b"), "192.0.2.9", 80, Allow, "default: internet"),
        ];
        let policy = NetPolicy::learned(&records);
        let rules: Vec<String> = policy.rules.iter().map(ToString::to_string).collect();
        assert_eq!(rules, ["allow host pypi.org:443", "allow net [2001:db8::1]:123/udp"]);
        assert_eq!(policy.default, NetDefault::None);
    }
}
