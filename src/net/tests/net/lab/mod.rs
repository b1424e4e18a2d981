//! A laboratory in namespaces of its own: the test's process is the host with an internet of its own, and a
//! second network namespace with a TAP device is the guest, whose frames a bridge carries to the stack as a VMM
//! would. Needs no root where user namespaces are allowed.

mod bridge;
mod cable;
pub(crate) mod frames;
mod sys;

use a3s_box_core::{NetCounters, NetRecord, NetSpec};
use a3s_box_net::{Network, SecretValues};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use cable::{Cable, Roughness};

/// Addresses of the internet outside, all of them this process's.
pub(crate) const SERVER: &str = "198.51.100.1";
pub(crate) const OTHER: &str = "198.51.100.2";
pub(crate) const THIRD: &str = "203.0.113.7";
pub(crate) const SERVER6: &str = "2001:db8::1";
/// The host's private network, its loopback and where a cloud would keep its credentials.
pub(crate) const PRIVATE: &str = "10.20.30.40";
pub(crate) const METADATA: &str = "169.254.169.254";
/// The gateway as the guest has it.
pub(crate) const GATEWAY: &str = "10.163.80.1";
pub(crate) const GATEWAY6: &str = "fda3:50::1";

/// Nothing in a test waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A test that takes longer is stuck.
const TEST: u64 = 240;

/// A test that runs in a laboratory.
macro_rules! lab_test {
    ($(#[$doc:meta])* $name:ident, |$lab:ident| $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            crate::lab::enter(concat!(module_path!(), "::", stringify!($name)), |$lab| $body);
        }
    };
}

/// How long a soak lasts.
pub(crate) fn soak() -> Duration {
    let seconds = std::env::var("A3S_TEST_SOAK_SECONDS").map_or(5, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Runs `body` inside: this very test is run again in namespaces of its own.
pub(crate) fn enter(test: &str, body: fn(&mut Lab)) {
    if std::env::var_os("A3S_NET_LAB").is_some() {
        return body(&mut Lab::new());
    }
    let name = test.split_once("::").map_or(test, |(_, name)| name);
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            &(TEST + soak().as_secs()).to_string(),
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
        ])
        .args(["--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("A3S_NET_LAB", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{name}: {}\n{text}", output.status);
}

/// The laboratory of one test.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    guests: Vec<Guest>,
}

/// One guest, and its network where it runs.
struct Guest {
    holder: Child,
    network: Option<Network>,
    log: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut script = String::from("ip link set lo up\n");
        for address in [SERVER, OTHER, THIRD, PRIVATE, METADATA, "198.51.100.3", "203.0.113.8"] {
            script += &format!("ip addr add {address}/32 dev lo\n");
        }
        script += &format!("ip -6 addr add {SERVER6}/128 dev lo\nip -6 addr add 2001:db8::2/128 dev lo\n");
        script += "echo '0 0' > /proc/sys/net/ipv4/ping_group_range\n";
        sh(&script);
        Self { dir, guests: Vec::new() }
    }

    /// A folder for this test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a guest with the network of `spec`; they are numbered from 0.
    pub(crate) fn boot(&mut self, spec: &NetSpec) -> usize {
        let (guest, index) = (self.plug(spec), self.guests.len());
        let log = self.dir.path().join(format!("net{index}.jsonl"));
        let values = SecretValues::read(&spec.secrets).unwrap();
        let network = Network::start(spec, &values, &format!("box{index}"), &log, guest.1).unwrap();
        self.guests.push(Guest { holder: guest.0, network: Some(network), log });
        self.await_link(index);
        index
    }

    /// Starts a guest whose frames the test itself reads and writes.
    pub(crate) fn wire(&mut self, spec: &NetSpec) -> (usize, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let index = self.guests.len();
        let log = self.dir.path().join(format!("net{index}.jsonl"));
        let values = SecretValues::default();
        let network = Network::start(spec, &values, &format!("box{index}"), &log, theirs).unwrap();
        let holder = Command::new("sleep").arg("infinity").spawn().unwrap();
        self.guests.push(Guest { holder, network: Some(network), log });
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        (index, ours)
    }

    /// Makes a guest's namespaces and its TAP device, and returns the stream that its frames are on.
    fn plug(&self, spec: &NetSpec) -> (Child, UnixStream) {
        let resolv = self.dir.path().join("resolv.conf");
        std::fs::write(&resolv, format!("nameserver {}\n", spec.addresses.gateway4)).unwrap();
        let script =
            "mount --bind \"$0\" \"$(readlink -f /etc/resolv.conf)\" && echo ready && exec sleep infinity";
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", script])
            .arg(&resolv)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        holder.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        bridge::start(holder.id(), &spec.addresses, theirs);
        (holder, ours)
    }

    /// Waits until the guest reaches its gateway.
    fn await_link(&self, guest: usize) {
        let ping = format!("ping -c1 -W1 {GATEWAY} >/dev/null && ping -c1 -W1 {GATEWAY6} >/dev/null");
        self.eventually("the link", || {
            self.guest(guest, "sh").args(["-c", &ping]).status().unwrap().success()
        });
    }

    /// A command inside a guest.
    pub(crate) fn guest(&self, guest: usize, program: &str) -> Command {
        let pid = self.guests[guest].holder.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--net", "--mount", "--wdns=/", "--", program]).stdin(Stdio::null());
        command
    }

    /// What a shell in the guest says to `script`, and whether it succeeds.
    pub(crate) fn shell(&self, script: &str) -> (bool, String) {
        let Output { status, stdout, stderr } = self.guest(0, "sh").args(["-c", script]).output().unwrap();
        (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    /// What a shell in the guest says to `script`, which must succeed.
    pub(crate) fn says(&self, script: &str) -> String {
        let (success, text) = self.shell(script);
        assert!(success, "{script}: {text}");
        text
    }

    /// Runs `body` on a thread in the guest's network.
    pub(crate) fn inside<T: Send>(&self, guest: usize, body: impl FnOnce() -> T + Send) -> T {
        let pid = self.guests[guest].holder.id();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                sys::enter_network(pid);
                body()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The running network of a guest.
    pub(crate) fn network(&self, guest: usize) -> &Network {
        self.guests[guest].network.as_ref().unwrap()
    }

    /// The counters of the first guest.
    pub(crate) fn counters(&self) -> NetCounters {
        self.network(0).counters()
    }

    /// Waits for `condition` to hold.
    pub(crate) fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "{what}: waited too long; log: {:?}", self.records());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first guest's network log so far.
    pub(crate) fn records(&self) -> Vec<NetRecord> {
        if self.guests.is_empty() { Vec::new() } else { self.records_of(0) }
    }

    /// A guest's network log so far.
    pub(crate) fn records_of(&self, guest: usize) -> Vec<NetRecord> {
        let text = std::fs::read_to_string(&self.guests[guest].log).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a record of the first guest's that `matches`.
    pub(crate) fn recorded(&self, what: &str, matches: impl Fn(&NetRecord) -> bool) -> NetRecord {
        let mut found = None;
        self.eventually(what, || {
            found = self.records().into_iter().find(&matches);
            found.is_some()
        });
        found.unwrap()
    }

    /// Stops a guest's network, which must not have failed.
    pub(crate) fn stop(&mut self, guest: usize) {
        self.guests[guest].network.take().unwrap().stop().unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for guest in &mut self.guests {
            let _ = guest.holder.kill();
            let _ = guest.holder.wait();
            if let Some(network) = guest.network.take()
                && let Err(error) = network.stop()
                && !std::thread::panicking()
            {
                panic!("a network failed: {error}");
            }
        }
    }
}

/// A spec whose policy is `rules` over `default`, the internet or none.
pub(crate) fn spec(rules: &[&str], default: a3s_box_core::NetDefault) -> NetSpec {
    let mut spec = NetSpec::default();
    spec.policy.default = default;
    spec.policy.rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    spec
}

/// A spec that opens the internet.
pub(crate) fn open() -> NetSpec {
    spec(&[], a3s_box_core::NetDefault::Internet)
}

/// Runs a shell script on the host's side.
pub(crate) fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Serves each connection to `address` on a thread of its own. Returns where.
pub(crate) fn serve(address: &str, each: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let bound = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    bound
}

/// Serves HTTP that answers every request with `body`, and closes.
pub(crate) fn serve_http(address: &str, body: &'static str) -> SocketAddr {
    serve(address, move |mut stream| {
        let mut request = [0; 8192];
        let _ = stream.read(&mut request);
        let length = body.len();
        let _ =
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    })
}

/// Connects, with patience.
pub(crate) fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
