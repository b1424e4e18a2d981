//! Secrets at the boundary, before a real nginx and with the programs that use them.

use crate::dns::{Resolver, resolved};
use crate::lab::{self, Lab, OTHER, SERVER, connect, serve};
use crate::programs::{Server, start};
use a3s_box_core::{NetDefault, NetSpec, Verdict};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const VALUE: &str = "sk-live/7f3a+9c==e1&x";
const PLACEHOLDER: &str = "a3s-secret-00112233445566778899aabbccddeeff";

/// A spec with one secret for `hosts`, and a resolver that knows all of the test's names.
fn with_secret(lab: &Lab, rules: &[&str], default: NetDefault, hosts: &str) -> NetSpec {
    let file = lab.dir().join("value");
    std::fs::write(&file, format!("{VALUE}\n")).unwrap();
    let mut spec = resolved(lab::spec(rules, default));
    spec.secrets = vec![format!("TOKEN=file:{}@{hosts}", file.display()).parse().unwrap()];
    spec.secrets[0].placeholder = PLACEHOLDER.into();
    spec.authorities = vec![lab.dir().join("ca.pem")];
    spec
}

fn resolver(lab: &Lab) -> Resolver {
    let records = [
        "api.example/198.51.100.1",
        "other.example/198.51.100.2",
        "twin.example/198.51.100.1",
        "false.example/198.51.100.3",
    ];
    Resolver::start(lab, &records, &[])
}

/// An nginx that says what it was told: over TLS for names that the test's authority vouches for, and without.
fn nginx(lab: &Lab) -> Server {
    let dir = lab.dir().display();
    lab::sh(&format!(
        "cd {dir}; mkdir -p www; head -c 33554432 /dev/urandom > www/large
         new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
         $new -keyout ca.key -out ca.pem -subj /CN=lab-authority 2>/dev/null
         $new -keyout key.pem -out cert.pem -subj /CN=lab-server -CA ca.pem -CAkey ca.key \
             -addext basicConstraints=critical,CA:FALSE \
             -addext subjectAltName=DNS:api.example,DNS:other.example,DNS:twin.example 2>/dev/null
         $new -keyout false.key -out false.pem -subj /CN=api.example \
             -addext subjectAltName=DNS:api.example,DNS:false.example 2>/dev/null"
    ));
    let says = "add_header X-Echo $http_x_key; return 200 \"$http_authorization|$http_x_key|$request_uri|$host\\n\";";
    let tls = |at: &str, cert: &str, key: &str| {
        format!("listen {at}:443 ssl; ssl_certificate {dir}/{cert}; ssl_certificate_key {dir}/{key};")
    };
    let locations = format!(
        "location /says {{ {says} }}
         location /moved {{ return 302 /says?key=$http_x_key; }}
         location /put {{ proxy_request_buffering off; proxy_pass http://127.0.0.1:8099; }}
         location /chat {{ proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:8098; }}"
    );
    let config = format!(
        "user root; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;
         events {{ worker_connections 1024; }}
         http {{ access_log off; client_max_body_size 0; client_body_temp_path {dir}/body; proxy_temp_path {dir}/p;
           fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; root {dir}/www;
           server {{ listen {SERVER}:80; {} {} {locations} }}
           server {{ {} {locations} }} }}",
        tls(SERVER, "cert.pem", "key.pem"),
        tls(OTHER, "cert.pem", "key.pem"),
        tls("198.51.100.3", "false.pem", "false.key"),
    );
    let file = lab.dir().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let server = start(Command::new("nginx").arg("-e").arg(lab.dir().join("error.log")).arg("-c").arg(&file));
    lab.eventually("nginx", || std::net::TcpStream::connect((SERVER, 443)).is_ok());
    server
}

/// Boots the guest, and gives it a bundle of the test's and its network's authorities.
fn boot(lab: &mut Lab, spec: &NetSpec) {
    lab.boot(spec);
    if let Some(trust) = lab.network(0).trust() {
        let ca = std::fs::read_to_string(lab.dir().join("ca.pem")).unwrap();
        assert!(trust.roots.contains("BEGIN CERTIFICATE") && !trust.authority.contains("PRIVATE"));
        std::fs::write(lab.dir().join("own.pem"), &trust.authority).unwrap();
        std::fs::write(lab.dir().join("bundle.pem"), ca + &trust.authority).unwrap();
    }
}

fn curl(lab: &Lab, words: &str) -> (bool, String) {
    let dir = lab.dir().display();
    lab.shell(&format!("curl -sS -4 --max-time 30 --cacert {dir}/bundle.pem {words}"))
}

fn fetched(lab: &Lab, words: &str) -> String {
    let (success, text) = curl(lab, words);
    assert!(success, "{words}: {text}; {:?}", lab.records());
    text
}

fn nothing_told(lab: &mut Lab) {
    lab.stop(0);
    let log = format!("{:?}", lab.records());
    assert!(!log.contains("sk-live"), "{log}");
}

lab_test!(the_value_goes_to_its_host_and_nowhere_else, |lab| {
    let (_resolver, _nginx) = (resolver(lab), nginx(lab));
    let spec = with_secret(lab, &[], NetDefault::Internet, "api.example");
    boot(lab, &spec);
    let key = format!("-H 'X-Key: {PLACEHOLDER}'");
    let bearer = format!("-H 'Authorization: Bearer {PLACEHOLDER}'");
    let told = fetched(lab, &format!("{key} {bearer} 'https://api.example/says?k={PLACEHOLDER}'"));
    let encoded = "sk-live%2F7f3a%2B9c%3D%3De1%26x";
    assert_eq!(told.trim(), format!("Bearer {VALUE}|{VALUE}|/says?k={encoded}|api.example"));
    // What comes back in a head is taken out again.
    let head = fetched(lab, &format!("-D - -o /dev/null {key} https://api.example/says"));
    assert!(head.contains(&format!("X-Echo: {PLACEHOLDER}")) && !head.contains("sk-live"), "{head}");
    let head = fetched(lab, &format!("-D - -o /dev/null {key} https://api.example/moved"));
    assert!(head.contains(&format!("?key={PLACEHOLDER}")) && !head.contains("sk-live"), "{head}");
    let basic = fetched(lab, &format!("-u 'user:{PLACEHOLDER}' https://api.example/says"));
    let expected = lab.says(&format!("printf %s 'user:{VALUE}' | base64"));
    assert!(basic.contains(expected.trim()), "{basic}");
    // Elsewhere, and without TLS, it is the placeholder that goes; and nobody stands in the middle.
    let ca = lab.dir().join("ca.pem");
    for url in ["https://other.example/says", "https://twin.example/says", "http://api.example/says"] {
        let told = fetched(lab, &format!("--cacert {} {key} {url}", ca.display()));
        assert!(told.contains(PLACEHOLDER) && !told.contains("sk-live"), "{url}: {told}");
    }
    let (success, text) =
        curl(lab, &format!("--cacert {} https://other.example/says", lab.dir().join("own.pem").display()));
    assert!(!success && text.contains("(60)"), "{text}");
    let record = lab.recorded("the use", |r| !r.secrets.is_empty());
    assert_eq!((record.secrets, record.name.as_deref()), (vec!["TOKEN".to_owned()], Some("api.example")));
    lab.recorded("the other host", |r| r.name.as_deref() == Some("other.example") && r.secrets.is_empty());
    let certificate = lab.says(&format!("openssl x509 -noout -text -in {}/own.pem", lab.dir().display()));
    assert!(
        certificate.contains("DNS:api.example") && certificate.contains("Name Constraints: critical"),
        "{certificate}"
    );
    nothing_told(lab);
});

lab_test!(what_is_not_what_it_says_goes_nowhere, |lab| {
    let (_resolver, _nginx) = (resolver(lab), nginx(lab));
    let rules = ["deny host twin.example", "allow any"];
    let spec = with_secret(lab, &rules, NetDefault::None, "api.example,false.example,twin.example");
    boot(lab, &spec);
    let key = format!("-H 'X-Key: {PLACEHOLDER}'");
    let refused = |words: &str, reason: &str| {
        let (success, text) = curl(lab, &format!("{key} {words}"));
        assert!(!success && !text.contains("sk-live"), "{words}: {text}");
        let record = lab.recorded(reason, |r| r.reason.contains(reason));
        assert_eq!((record.verdict, record.secrets.len()), (Verdict::Deny, 0), "{record:?}");
    };
    // One host in the hello, another in the request; a server that proves nothing; one at an address of one's own.
    refused("-H 'Host: other.example' https://api.example/says", "another host than the connection");
    refused("https://false.example/says", "does not prove who it is");
    refused("--resolve api.example:443:198.51.100.3 https://api.example/says", "does not prove who it is");
    refused("https://twin.example/says", "the name is denied");
    refused("--request-target other.example:443 -X CONNECT https://api.example/says", "another host");
    refused("--request-target api.example:443 -X CONNECT https://api.example/says", "(CONNECT)");
    let twice = "-H 'Transfer-Encoding: chunked' -H 'Content-Length: 3' -d abc https://api.example/says";
    let (_, text) = curl(lab, &format!("{key} {twice}"));
    assert!(!text.contains("sk-live"), "{text}");
    // A client that does not believe us is told by the handshake, and it is written down.
    let (success, text) =
        curl(lab, &format!("--cacert {}/ca.pem https://api.example/says", lab.dir().display()));
    assert!(!success && text.contains("(60)"), "{text}");
    lab.recorded("the distrust", |r| r.reason.contains("does not accept"));
    // HTTP/2 alone is not spoken here.
    let said = lab.says(
        "openssl s_client -connect api.example:443 -servername api.example -alpn h2 </dev/null 2>&1 || true",
    );
    assert!(said.contains("no application protocol"), "{said}");
    nothing_told(lab);
});

/// Answers each request with a digest of its body, and goes on.
fn digests(address: &str) -> SocketAddr {
    serve(address, |mut stream| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 65_536];
        let end = loop {
            let count = stream.read(&mut buffer).unwrap_or(0);
            if count == 0 {
                return;
            }
            bytes.extend_from_slice(&buffer[..count]);
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse().unwrap());
        let chunked = head.contains("transfer-encoding: chunked");
        let mut body = bytes.split_off(end);
        while body.len() < length || chunked && !body.ends_with(b"0\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => body.extend_from_slice(&buffer[..count]),
            }
        }
        let sum: u64 = body.iter().map(|b| u64::from(*b)).sum();
        let text = format!("{} {sum}", body.len());
        let length = text.len();
        let _ =
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
    })
}

lab_test!(everything_streams_through_both_ways, |lab| {
    let (_resolver, _nginx) = (resolver(lab), nginx(lab));
    digests("127.0.0.1:8099");
    serve("127.0.0.1:8098", echo_after_switching);
    let spec = with_secret(lab, &["allow host api.example:443"], NetDefault::None, "api.example");
    boot(lab, &spec);
    let sum = |text: &str| text.split_whitespace().next().unwrap().to_owned();
    let large = lab.dir().join("www/large");
    let expected = sum(&lab.says(&format!("sha256sum {}", large.display())));
    let got = fetched(lab, "https://api.example/large | sha256sum");
    assert_eq!(sum(&got), expected);
    // With a length, in chunks, and asking first.
    let bytes = std::fs::read(&large).unwrap();
    let added: u64 = bytes.iter().map(|b| u64::from(*b)).sum();
    let told = fetched(lab, &format!("-T {} https://api.example/put", large.display()));
    assert_eq!(told, format!("{} {added}", bytes.len()));
    let told = fetched(lab, "-H 'Expect: 100-continue' -d hello https://api.example/put");
    assert!(told.starts_with("5 "), "{told}");
    let told = fetched(lab, "-H 'Transfer-Encoding: chunked' -d hello https://api.example/put");
    assert!(told.starts_with("15 ") || told.starts_with("5 "), "{told}");
    // Several requests on one connection, some without a body to answer.
    let key = format!("-H 'X-Key: {PLACEHOLDER}'");
    let url = "https://api.example/says";
    let told = fetched(
        lab,
        &format!(
            "{key} -w '%{{num_connects}}\\n' {url} {url} --next -sS -4 -I --cacert {}/bundle.pem {key} {url} --next -sS -4 --cacert {}/bundle.pem {key} {url}",
            lab.dir().display(),
            lab.dir().display()
        ),
    );
    assert_eq!(told.matches(VALUE).count(), 3, "{told}");
    assert!(told.contains("0\n"), "{told}");
    let many = lab.says(&format!(
        "seq 60 | xargs -P 12 -I @@ curl -sS -4 --max-time 30 --cacert {}/bundle.pem {key} {url}",
        lab.dir().display()
    ));
    assert_eq!(many.matches(VALUE).count(), 60);
    // A websocket: what goes over it is nobody's but theirs.
    let script = format!(
        "import socket, ssl\n\
         c = ssl.create_default_context(cafile='{}/bundle.pem')\n\
         s = c.wrap_socket(socket.create_connection(('api.example', 443), 20), server_hostname='api.example')\n\
         s.settimeout(20)\n\
         s.sendall(b'GET /chat HTTP/1.1\\r\\nHost: api.example\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')\n\
         f = s.makefile('rb')\n\
         while f.readline() != b'\\r\\n': pass\n\
         for n in range(50):\n\
         \x20   m = b'\\x81\\x30%02dGET / HTTP/1.1 {PLACEHOLDER}\\r\\n\\r\\n' % n\n\
         \x20   s.sendall(m)\n\
         \x20   assert f.read(len(m)) == m\n\
         print('done')\n",
        lab.dir().display()
    );
    std::fs::write(lab.dir().join("chat.py"), script).unwrap();
    let said = lab.says(&format!("python3 {}/chat.py", lab.dir().display()));
    assert_eq!(said.trim(), "done");
    lab.eventually("all connections end", || lab.counters().open == 0);
    // Each of them as its ends wanted it.
    let odd: Vec<_> = lab.records().into_iter().filter(|r| r.reason.contains("ended by")).collect();
    assert!(odd.is_empty(), "{odd:?}");
    nothing_told(lab);
});

pub(crate) fn echo_after_switching(mut stream: std::net::TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(answer).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..count]).unwrap();
    }
}

lab_test!(without_tls_it_goes_only_where_that_was_asked_for, |lab| {
    let _resolver = resolver(lab);
    let (seen, told) = std::sync::mpsc::channel();
    let server = serve(&format!("{SERVER}:0"), move |mut stream| {
        let mut head = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut head) {
            seen.send(String::from_utf8_lossy(&head[..count]).into_owned()).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let port = server.port();
    let file = lab.dir().join("ca.pem");
    std::fs::write(&file, "").unwrap();
    let spec = with_secret(lab, &[], NetDefault::Internet, &format!("http://api.example:{port}"));
    boot(lab, &spec);
    assert!(lab.network(0).trust().is_none());
    lab.says("getent hosts api.example other.example twin.example");
    let ask = |stream: &mut std::net::TcpStream, host: &str| {
        write!(stream, "GET / HTTP/1.1\r\nHost: {host}:{port}\r\nX-Key: {PLACEHOLDER}\r\n\r\n").unwrap();
        let mut answer = [0; 256];
        let count = stream.read(&mut answer).unwrap_or(0);
        count > 0
    };
    let told = std::sync::Mutex::new(told);
    lab.inside(0, || {
        let told = told.lock().unwrap();
        let mut stream = connect(server).unwrap();
        assert!(ask(&mut stream, "api.example"));
        assert!(told.recv().unwrap().contains(VALUE));
        assert!(ask(&mut stream, "api.example"));
        assert!(told.recv().unwrap().contains(VALUE));
        // The same connection for another name.
        assert!(!ask(&mut stream, "twin.example"));
        let mut stream = connect(server).unwrap();
        assert!(ask(&mut stream, "twin.example"));
        assert!(told.recv().unwrap().contains(PLACEHOLDER));
        // A name that DNS did not answer with this address proves nothing.
        let mut stream = connect(server).unwrap();
        assert!(ask(&mut stream, "other.example"));
        assert!(told.recv().unwrap().contains(PLACEHOLDER));
    });
    nothing_told(lab);
});

lab_test!(who_reads_slowly_stops_who_writes, |lab| {
    let _resolver = resolver(lab);
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&written);
    let server = serve(&format!("{SERVER}:0"), move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while let Ok(sent) = stream.write(&[7; 65_536]) {
            count.fetch_add(sent, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let port = server.port();
    std::fs::write(lab.dir().join("ca.pem"), "").unwrap();
    let spec = with_secret(lab, &[], NetDefault::Internet, &format!("http://api.example:{port}"));
    boot(lab, &spec);
    lab.says("getent hosts api.example");
    lab.inside(0, || {
        let mut stream = connect(server).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: api.example:{port}\r\n\r\n").unwrap();
        // The server gives up when nothing moves for two seconds: by then all buffers on the way are full.
        let full = || written.load(std::sync::atomic::Ordering::SeqCst);
        let (mut last, mut same) = (0, 0);
        while same < 20 {
            std::thread::sleep(Duration::from_millis(100));
            let now = full();
            same = if now == last && now > 0 { same + 1 } else { 0 };
            last = now;
        }
        assert!(last < 24 << 20, "{last} bytes are on their way to one that does not read");
        drop(stream);
    });
});
