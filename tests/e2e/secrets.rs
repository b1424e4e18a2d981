//! Secrets that a box uses and never has.

use crate::harness::{Home, eventually};
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

const VALUE: &str = "sk-e2e/9c3f+77aa==";
const OTHER_VALUE: &str = "sk-e2e-the-second-one";
const HOST: &str = "host.a3s.internal";

/// A server on this host's loopback that proves to be [`HOST`] to whoever believes `ca.pem`. It remembers the heads of
/// requests, and says their targets in the heads of its answers.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn last(&self) -> String {
        self.heads.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// Servers over TLS, and their authority in `ca.pem` of the state directory, which `config.toml` believes.
fn servers<const N: usize>(home: &Home) -> [Server; N] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    fs::write(home.path().join("ca.pem"), pem(root.der())).unwrap();
    fs::write(home.path().join("config.toml"), "[net]\nca = ['ca.pem']\n").unwrap();
    std::array::from_fn(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, heads) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let (seen, config) = (Arc::clone(&heads), Arc::clone(&config));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, config) = (Arc::clone(&seen), Arc::clone(&config));
                std::thread::spawn(move || answer(config, stream, &seen));
            }
        });
        Server { port, heads }
    })
}

fn answer(config: Arc<rustls::ServerConfig>, stream: TcpStream, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(head);
    let text = format!(
        "HTTP/1.1 200 OK\r\nX-Echo: {target}\r\nContent-Length: 6\r\nConnection: close\r\n\r\nfine.\n"
    );
    stream.write_all(text.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn pem(der: &[u8]) -> String {
    let child = std::process::Command::new("openssl")
        .args(["x509", "-inform", "der"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_ref().unwrap().write_all(der).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// The files below `folder` that hold `text`. The disk is left out, which is huge, and what the guest wrote.
fn files_with(folder: &Path, text: &str) -> String {
    let mut find = std::process::Command::new("find");
    find.arg(folder).args(["-type", "f", "-size", "-64M", "-exec", "grep", "-lF", text, "{}", "+"]);
    String::from_utf8(find.output().unwrap().stdout).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether `text` is in what a process has in memory, the guest's memory among it. `None` where that cannot be seen.
fn remembers(pid: i32, text: &str) -> Option<bool> {
    let mut search = std::process::Command::new("grep");
    search.args(["-qazF", text]).stdin(std::process::Stdio::piped());
    let mut search = search.spawn().unwrap();
    let mut into = search.stdin.take().unwrap();
    let seen = copy_memory(pid, &mut into);
    drop(into);
    let found = search.wait().unwrap().success();
    seen.map(|()| found)
}

/// Writes what a process may write of its memory, and has, to `into`, which may read no further than it has to.
fn copy_memory(pid: i32, into: &mut impl Write) -> Option<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let pages = fs::File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let mut block = vec![0; 1 << 20];
    let mut any = None;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let (mut at, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        while at < to {
            let length = usize::try_from((to - at).min(1 << 20)).unwrap();
            // What was never touched is not read, or the host would have to give it.
            let mut entries = vec![0; length / 4096 * 8];
            let there = pages.read_exact_at(&mut entries, at / 4096 * 8).is_ok();
            let resident = entries.chunks_exact(8).any(|entry| entry[7] & 0xc0 != 0);
            if (!there || resident) && memory.read_exact_at(&mut block[..length], at).is_ok() {
                any = Some(());
                if into.write_all(&block[..length]).is_err() {
                    return any;
                }
            }
            at += 1 << 20;
        }
    }
    any
}

/// What fetches from a server in the box, says what it is answered, and believes whom it is told to.
fn fetch(server: &Server) -> String {
    format!(
        "/usr/lib/apt/apt-helper -o Acquire::https::CAInfo=$SSL_CERT_FILE -o Acquire::Retries=0 -o Debug::Acquire::https=1 \
         download-file https://user:$TOKEN@{HOST}:{}/a?k=$TOKEN /tmp/file 2>&1 && cat /tmp/file",
        server.port
    )
}

#[test]
fn a_secret_goes_to_its_host_and_the_box_never_has_it() {
    let home = Home::empty();
    home.load("A3S_TEST_DEBIAN", "debian");
    let [api, other] = servers(&home);
    let secret = format!("--secret=TOKEN=env:E2E_TOKEN@{HOST}:{}", api.port);
    let allowed = [&api, &other].map(|s| format!("--allow-host={HOST}:{}", s.port));
    let start = |name: &str, value: Option<&str>| {
        let words =
            ["run", "-d", "--name", name, "--memory", "256m", &secret, &allowed[0], &allowed[1], "debian"];
        let run = home.a3s(&words).arg("sleep").arg("100000");
        value.into_iter().fold(run, |run, value| run.env("E2E_TOKEN", value)).run()
    };
    start("b", None).refused(&["secret TOKEN", "no variable E2E_TOKEN", "file:PATH"]);
    home.a3s(&["start", "b"]).env("E2E_TOKEN", "short").run().refused(&["too short"]);
    home.a3s(&["start", "b"]).env("E2E_TOKEN", VALUE).run().ok();
    let placeholder = home.exec("b", "echo $TOKEN");
    assert!(placeholder.starts_with("a3s-secret-") && placeholder.len() > 40, "{placeholder}");
    let said = home.exec("b", &fetch(&api));
    assert!(said.ends_with("fine.") && said.contains(&format!("X-Echo: /a?k={placeholder}")), "{said}");
    let credentials = "dXNlcjpzay1lMmUvOWMzZis3N2FhPT0=";
    let head = api.last();
    assert!(head.contains("k=sk-e2e%2F9c3f%2B77aa%3D%3D") && head.contains(credentials), "{head}");
    // Another server has nothing from it.
    let said = home.exec("b", &fetch(&other));
    assert!(said.contains(&format!("X-Echo: /a?k={placeholder}")), "{said}");
    assert!(!other.last().contains("sk-e2e") && !other.last().contains(credentials), "{}", other.last());
    // Programs are told whom to believe: what the image has or the host has, and the box's own authority.
    let bundle = home.exec("b", "cat $SSL_CERT_FILE; cmp $SSL_CERT_FILE $CURL_CA_BUNDLE && echo same");
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 1 && bundle.ends_with("same"), "{bundle}");
    assert_eq!(home.exec("b", "ls /usr/local/share/ca-certificates"), "a3s-box.crt");
    assert!(!home.a3s(&["diff", "b"]).run().ok().contains("a3s-box"));

    let explained = |port: u16| home.a3s(&["net", "explain", "b", &format!("{HOST}:{port}")]).run().ok();
    assert!(explained(api.port).contains("with secret TOKEN, over TLS"), "{}", explained(api.port));
    assert!(!explained(other.port).contains("TOKEN"));
    let log = |name: &str| home.a3s(&["net", "log", name]).run().ok();
    eventually("the use in the log", || log("b").contains("\"secrets\":[\"TOKEN\"]").then_some(()));
    // What the network did is counted outside of the guest.
    let stats = home.a3s(&["stats", "--no-stream", "--format", "json", "b"]).run().ok();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let figure = |name: &str| stats["network"][name].as_u64().unwrap();
    assert!(figure("allowed") >= 2 && figure("sent") > 0 && figure("queries") > 0, "{stats}");

    // It is in no file, no list of processes, no answer of ours and not in the guest's memory.
    let found = files_with(home.path(), VALUE);
    assert!(found.is_empty(), "{found}");
    assert!(files_with(home.path(), &placeholder).contains("boxes.json"));
    let (shim, vmm) = (home.pid("b", "shim").unwrap(), home.pid("b", "vmm").unwrap());
    for pid in [shim, vmm] {
        for what in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            assert!(!holds(&text, VALUE), "{what} of {pid}");
        }
    }
    assert!(!home.a3s(&["inspect", "b"]).run().ok().contains(VALUE) && !log("b").contains(VALUE));
    if let Some(remembered) = remembers(vmm, VALUE) {
        assert!(!remembered, "the guest's memory holds the value");
        assert_eq!(remembers(vmm, &placeholder), Some(true), "the search finds nothing at all");
    }

    // The value is read anew at each start.
    let mut follower = home.a3s(&["net", "log", "-f", "b"]).spawn();
    home.a3s(&["stop", "-t", "0", "b"]).run().ok();
    let followed = follower.wait();
    assert!(followed.ok().contains("\"secrets\":[\"TOKEN\"]"), "{}", followed.text());
    home.a3s(&["start", "b"]).run().refused(&["no variable E2E_TOKEN"]);
    home.a3s(&["start", "b"]).env("E2E_TOKEN", OTHER_VALUE).run().ok();
    assert_eq!(home.exec("b", "echo $TOKEN"), placeholder);
    home.exec("b", &fetch(&api));
    assert!(api.last().contains(&format!("k={OTHER_VALUE} ")), "{}", api.last());

    // A server that nobody here vouches for is sent nothing.
    fs::write(home.path().join("config.toml"), "").unwrap();
    start("c", Some(VALUE)).ok();
    let before = api.heads.lock().unwrap().len();
    let out = home.a3s(&["exec", "c", "sh", "-c", &fetch(&api)]).run();
    assert!(!out.text().contains("fine."), "{}", out.text());
    assert_eq!(api.heads.lock().unwrap().len(), before);
    eventually("the refusal", || log("c").contains("does not prove who it is").then_some(()));
}
