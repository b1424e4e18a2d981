use super::*;

const GATEWAY: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(10, 163, 80, 1)), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];

fn policy(default: NetDefault, rules: &[&str]) -> Policy {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Policy::new(&NetPolicy { default, rules }, &[], GATEWAY)
}

fn to(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What becomes of a connection, in a word and the rule.
fn word(policy: &Policy, address: &str) -> String {
    match policy.connect(to(address), Instant::now()) {
        Passage::Inspect(decision) => format!("inspect: {}", decision.rule),
        Passage::Decided(decision) if decision.is_allow() => format!("allow: {}", decision.rule),
        Passage::Decided(decision) => format!("deny: {}", decision.rule),
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = ["deny net 192.0.2.7:22", "allow net 192.0.2.0/24", "deny any", "allow net 198.51.100.0/24"];
    let policy = policy(NetDefault::Internet, &rules);
    assert_eq!(word(&policy, "192.0.2.7:22"), "deny: deny net 192.0.2.7:22");
    assert_eq!(word(&policy, "192.0.2.7:80"), "allow: allow net 192.0.2.0/24");
    assert_eq!(word(&policy, "198.51.100.1:80"), "deny: deny any");
}

#[test]
fn the_default_opens_the_internet_and_nothing_else() {
    let policy = policy(NetDefault::Internet, &[]);
    assert_eq!(word(&policy, "8.8.8.8:443"), "allow: default: internet");
    for (address, rule) in [
        ("127.0.0.1:80", "host loopback"),
        ("169.254.169.254:80", "cloud metadata"),
        ("10.0.0.1:80", "private range"),
        ("[fe80::1]:80", "link-local"),
        ("[::ffff:8.8.8.8]:80", "wrapped IPv4"),
        ("8.8.8.8:53", "resolver"),
        ("10.163.80.1:80", "host"),
    ] {
        assert_eq!(word(&policy, address), format!("deny: built-in: {rule}"));
    }
}

#[test]
fn a_name_is_the_addresses_that_were_answered_for_it() {
    let mut policy = policy(NetDefault::None, &["allow host a.example:443", "allow host b.example:5432"]);
    let (now, address) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
    assert_eq!(word(&policy, "192.0.2.1:443"), "deny: default: none");
    policy.learn(address, "a.example", Duration::from_secs(60), now);
    policy.learn(address, "c.example", Duration::from_secs(60), now);
    assert_eq!(word(&policy, "192.0.2.1:443"), "inspect: allow host a.example:443");
    assert_eq!(word(&policy, "192.0.2.1:80"), "deny: default: none");
    let tls = |name: &str| Hello::Tls { name: Some(name.into()), encrypted: false };
    let confirm = |hello: &Hello, at: &str| policy.confirm(to(at), hello, now).is_allow();
    assert!(confirm(&tls("a.example"), "192.0.2.1:443"));
    assert!(!confirm(&tls("a.example"), "192.0.2.2:443"));
    assert!(!confirm(&tls("c.example"), "192.0.2.1:443"));
    assert!(!confirm(&Hello::Opaque, "192.0.2.1:443"));
    // An answer runs out.
    let later = now + Duration::from_secs(1000);
    assert!(!policy.confirm(to("192.0.2.1:443"), &tls("a.example"), later).is_allow());
}

#[test]
fn a_name_does_not_open_what_is_not_the_internet() {
    let mut policy = policy(NetDefault::None, &["allow host a.example"]);
    let inside = IpAddr::from([10, 0, 0, 1]);
    policy.learn(inside, "a.example", Duration::from_secs(60), Instant::now());
    assert_eq!(word(&policy, "10.0.0.1:443"), "deny: built-in: private range");
    assert_eq!(policy.answer(inside), Err(Special::Private));
}

#[test]
fn the_host_is_reached_by_its_name_alone() {
    let mut policy = policy(NetDefault::Internet, &["allow host host.a3s.internal:8080"]);
    assert_eq!(word(&policy, "10.163.80.1:8080"), "deny: built-in: host");
    policy.learn(GATEWAY[0], HOST_NAME, Duration::from_secs(60), Instant::now());
    assert_eq!(word(&policy, "10.163.80.1:8080"), "allow: allow host host.a3s.internal:8080");
    assert_eq!(word(&policy, "10.163.80.1:22"), "deny: built-in: host");
}

#[test]
fn udp_follows_names_only_where_a_rule_says_udp() {
    let mut policy = policy(NetDefault::None, &["allow host a.example", "allow host b.example:123/udp"]);
    let now = Instant::now();
    policy.learn(IpAddr::from([192, 0, 2, 1]), "a.example", Duration::from_secs(60), now);
    policy.learn(IpAddr::from([192, 0, 2, 2]), "b.example", Duration::from_secs(60), now);
    assert!(!policy.datagram(to("192.0.2.1:443"), now).is_allow());
    assert!(policy.datagram(to("192.0.2.2:123"), now).is_allow());
    assert!(!policy.datagram(to("192.0.2.2:124"), now).is_allow());
    assert!(policy.query("b.example").is_allow() && !policy.query("c.example").is_allow());
}
