//! The box's DNS, before a real dnsmasq.

use crate::lab::{self, GATEWAY, GATEWAY6, Lab, OTHER, SERVER, serve_http};
use a3s_box_core::{NetDefault, NetSpec, NetSubject, Verdict};
use std::process::{Child, Command};

/// A dnsmasq on the host's side.
pub(crate) struct Resolver(Child);

impl Resolver {
    /// Answers for `records` (`name/address`), and for what `more` says.
    pub(crate) fn start(lab: &Lab, records: &[&str], more: &[&str]) -> Self {
        let log = lab.dir().join("dnsmasq.log");
        let child = Command::new("dnsmasq")
            .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"])
            .args(["--pid-file", "--listen-address=127.0.0.1", "--bind-interfaces", "--port=5300"])
            .args(["--log-queries", "--edns-packet-max=4096", "--local-ttl=5"])
            .arg(format!("--log-facility={}", log.display()))
            .args(records.iter().map(|record| {
                let (name, address) = record.split_once('/').unwrap();
                format!("--host-record={name},{address}")
            }))
            .args(more)
            .spawn()
            .unwrap();
        lab.eventually("dnsmasq", || std::net::TcpStream::connect("127.0.0.1:5300").is_ok());
        Self(child)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `spec` with the test's resolver.
pub(crate) fn resolved(mut spec: NetSpec) -> NetSpec {
    spec.resolvers = vec!["127.0.0.1:5300".parse().unwrap()];
    spec
}

lab_test!(names_are_answered_over_udp_and_tcp, |lab| {
    let more = [
        "--local=/example/",
        "--cname=alias.example,www.example",
        "--txt-record=text.example,some text",
        "--mx-host=example,mail.example,10",
        "--host-record=six.example,2001:db8::1",
    ];
    let long: Vec<String> = (1..=60).map(|n| format!("many.example/198.51.100.{n}")).collect();
    let records: Vec<&str> = long
        .iter()
        .map(String::as_str)
        .chain(["www.example/198.51.100.1", "up.example/198.51.100.2"])
        .collect();
    let _resolver = Resolver::start(lab, &records, &more);
    lab.boot(&resolved(lab::open()));
    let dig = |arguments: &str| lab.says(&format!("dig +tries=2 +time=5 {arguments}"));
    for how in ["", "+tcp", &format!("@{GATEWAY6}"), &format!("@{GATEWAY6} +tcp"), "+noedns"] {
        let text = dig(&format!("{how} www.example"));
        assert!(text.contains("NOERROR") && text.contains("198.51.100.1"), "{how}: {text}");
    }
    assert!(dig("+short alias.example").contains("www.example.\n198.51.100.1"));
    assert!(dig("+short -t TXT text.example").contains("some text"));
    assert!(dig("+short -t MX example").contains("10 mail.example."));
    assert!(dig("+short -t AAAA six.example").contains("2001:db8::1"));
    assert!(dig("+short UP.exAMple").contains("198.51.100.2"));
    assert!(dig("nothing.example").contains("NXDOMAIN"));
    // What does not fit is cut over UDP, asked for over TCP, and complete there.
    assert_eq!(dig("+short +noedns many.example").lines().filter(|l| l.starts_with("198.")).count(), 60);
    assert!(dig("+noedns +ignore many.example").contains("flags: qr tc"));
    assert_eq!(dig("+short +bufsize=4096 +ignore many.example").lines().count(), 60);
    // Programs ask the way they do.
    assert!(lab.says("getent ahosts www.example").contains("198.51.100.1"));
    assert!(lab.says("getent ahosts localhost").contains("127.0.0.1"));
    let record = lab.recorded("the query", |r| r.name.as_deref() == Some("up.example"));
    assert_eq!((record.subject, record.verdict), (NetSubject::Dns, Verdict::Allow));
    assert_eq!(record.reason, "answered 198.51.100.2");
});

lab_test!(only_names_on_the_list_are_asked_for, |lab| {
    let _resolver = Resolver::start(lab, &["a.good.example/198.51.100.1", "evil.example/198.51.100.2"], &[]);
    lab.boot(&resolved(lab::spec(&["allow host *.good.example:443"], NetDefault::None)));
    assert!(lab.says("dig +short a.good.example").contains(SERVER));
    for name in ["evil.example", "good.example", "a.good.example.evil.example", "secret-data.evil.example"] {
        assert!(lab.says(&format!("dig {name}")).contains("REFUSED"), "{name}");
    }
    let asked = std::fs::read_to_string(lab.dir().join("dnsmasq.log")).unwrap();
    assert!(asked.contains("a.good.example") && !asked.contains("evil"), "{asked}");
    let record = lab.recorded("the refusal", |r| r.name.as_deref() == Some("evil.example"));
    assert_eq!((record.rule.as_str(), record.verdict), ("default: none", Verdict::Deny));
});

lab_test!(the_host_has_a_name_only_where_it_is_allowed, |lab| {
    let server = serve_http("127.0.0.1:0", "the host");
    let port = server.port();
    lab.boot(&lab::spec(&[&format!("allow host host.a3s.internal:{port}")], NetDefault::None));
    assert!(lab.says("dig +short host.a3s.internal").contains(GATEWAY));
    assert_eq!(lab.says(&format!("curl -sS --max-time 10 http://host.a3s.internal:{port}/")), "the host");
    let (success, text) =
        lab.shell(&format!("curl -sS --max-time 10 http://host.a3s.internal:{}/", port ^ 1));
    assert!(!success && text.contains("(7)"), "{text}");
    let other = lab.boot(&lab::open());
    let output = lab.guest(other, "dig").arg("host.a3s.internal").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("REFUSED"));
    let record = lab.records_of(other).into_iter().find(|r| r.subject == NetSubject::Dns).unwrap();
    assert_eq!(record.rule, "built-in: host");
});

lab_test!(a_resolver_that_is_silent_is_followed_by_the_next, |lab| {
    let _resolver = Resolver::start(lab, &["www.example/198.51.100.1"], &[]);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut spec = resolved(lab::open());
    spec.resolvers.insert(0, silent.local_addr().unwrap().into());
    spec.resolvers.insert(0, "127.0.0.1:9".parse().unwrap());
    lab.boot(&spec);
    assert!(lab.says("dig +tries=1 +time=10 +short www.example").contains(SERVER));
    let mut spec = lab::open();
    spec.resolvers = vec!["127.0.0.1:9".parse().unwrap()];
    let other = lab.boot(&spec);
    let output = lab.guest(other, "dig").args(["+tries=1", "+time=20", "www.example"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("SERVFAIL"));
});

lab_test!(forged_and_broken_answers_are_not_believed, |lab| {
    // A resolver that answers with a wrong number, a wrong name and rubbish before it answers rightly.
    let socket = std::net::UdpSocket::bind("127.0.0.1:5300").unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((count, peer)) = socket.recv_from(&mut query) {
            let query = &query[..count];
            let mut right = query.to_vec();
            right.truncate(12);
            (right[2], right[3], right[7], right[11]) = (0x81, 0x80, 1, 0);
            let end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
            right.extend_from_slice(&query[12..end]);
            right.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 1]);
            let mut wrong_number = right.clone();
            wrong_number[0] ^= 1;
            let at = wrong_number.len() - 1;
            wrong_number[at] = 66;
            let mut wrong_name = right.clone();
            wrong_name[13] ^= 1;
            let mut cut = right.clone();
            cut.truncate(at - 2);
            let mut circle = right.clone();
            circle[end] = 0xc0;
            circle[end + 1] = u8::try_from(end).unwrap();
            for message in [&wrong_number, &wrong_name, &cut, &circle, &vec![0; 3], &right] {
                socket.send_to(message, peer).unwrap();
            }
        }
    });
    lab.boot(&resolved(lab::open()));
    assert_eq!(lab.says("dig +tries=1 +time=5 +short www.example").trim(), SERVER);
});

lab_test!(a_name_that_leads_inside_is_refused, |lab| {
    let records = ["in.example/10.20.30.40", "meta.example/169.254.169.254", "both.example/198.51.100.2"];
    let more = ["--host-record=both.example,127.0.0.1", "--host-record=map.example,::ffff:10.0.0.1"];
    let _resolver = Resolver::start(lab, &records, &more);
    lab.boot(&resolved(lab::open()));
    for name in ["in.example", "meta.example"] {
        assert!(lab.says(&format!("dig {name}")).contains("REFUSED"), "{name}");
    }
    assert!(lab.says("dig -t AAAA map.example").contains("REFUSED"));
    assert_eq!(lab.says("dig +short both.example").trim(), OTHER);
    let record = lab.recorded("the refusal", |r| r.name.as_deref() == Some("meta.example"));
    assert_eq!(record.rule, "built-in: cloud metadata");
    let open = lab.boot(&resolved(lab::spec(&["allow net 10.20.30.0/24"], NetDefault::Internet)));
    let output = lab.guest(open, "dig").args(["+short", "in.example"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "10.20.30.40");
});

/// A resolver over TLS, before the test's dnsmasq, that shows the certificate in `cert.pem`.
fn over_tls(lab: &Lab, address: &str) -> std::net::SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::io::{Read, Write};
    let certificate = CertificateDer::from_pem_file(lab.dir().join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(lab.dir().join("key.pem")).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    lab::serve(address, move |stream| {
        let mut stream =
            rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream);
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut message).unwrap();
            let mut resolver = std::net::TcpStream::connect("127.0.0.1:5300").unwrap();
            resolver.write_all(&[&length[..], &message].concat()).unwrap();
            resolver.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            resolver.read_exact(&mut answer).unwrap();
            // In pieces, as a network may bring it.
            stream.write_all(&length[..1]).unwrap();
            stream.write_all(&[&length[1..], &answer].concat()).unwrap();
        }
    })
}

lab_test!(a_resolver_is_asked_over_tls_and_has_to_prove_its_name, |lab| {
    let dir = lab.dir().display();
    lab::sh(&format!(
        "cd {dir}; new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
         $new -keyout ca.key -out ca.pem -subj /CN=lab-authority 2>/dev/null
         $new -keyout key.pem -out cert.pem -subj /CN=lab-resolver -CA ca.pem -CAkey ca.key \
             -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:dns.example 2>/dev/null"
    ));
    let long: Vec<String> = (1..=60).map(|n| format!("many.example/198.51.100.{n}")).collect();
    let records: Vec<&str> = long.iter().map(String::as_str).chain(["www.example/198.51.100.1"]).collect();
    let _resolver = Resolver::start(lab, &records, &["--txt-record=text.example,some text"]);
    let port = over_tls(lab, "127.0.0.1:0").port();
    let mut spec = lab::open();
    spec.authorities = vec![lab.dir().join("ca.pem")];
    spec.resolvers = vec![format!("tls://dns.example@127.0.0.1:{port}").parse().unwrap()];
    lab.boot(&spec);
    for how in ["", "+tcp"] {
        let text = lab.says(&format!("dig {how} +tries=1 +time=5 +short www.example"));
        assert_eq!(text.trim(), SERVER, "{how}");
    }
    assert!(lab.says("dig +short -t TXT text.example").contains("some text"));
    assert_eq!(lab.says("dig +short many.example").lines().count(), 60);
    let many = lab.says("for i in $(seq 20); do dig +short +tries=1 +time=5 www.example & done; wait");
    assert_eq!(many.matches(SERVER).count(), 20);
    // Another name than the certificate's, an authority that nobody knows, nobody there: no answer, and none in the clear.
    for (resolver, trusted) in [
        (format!("tls://other.example@127.0.0.1:{port}"), true),
        (format!("tls://dns.example@127.0.0.1:{port}"), false),
        ("tls://dns.example@127.0.0.1:9".to_owned(), true),
        ("tls://dns.example@127.0.0.1:5300".to_owned(), true),
    ] {
        let mut spec = lab::open();
        spec.authorities = trusted.then(|| lab.dir().join("ca.pem")).into_iter().collect();
        spec.resolvers = vec![resolver.parse().unwrap()];
        let other = lab.boot(&spec);
        let output = lab.guest(other, "dig").args(["+tries=1", "+time=20", "www.example"]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("SERVFAIL"), "{resolver}");
        lab.stop(other);
    }
});
