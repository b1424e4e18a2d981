//! What agents do on the network: install packages, clone repositories, move large files, hold many connections.

use crate::harness::{Home, PATIENCE, TIMES, eventually, not_here, private_memory};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Files of `folder` by HTTP on the host's loopback, until it is dropped.
struct Served {
    port: u16,
    server: Child,
}

impl Served {
    fn new(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = format!("127.0.0.1:{port}");
        let mut server = Command::new("busybox");
        server.args(["httpd", "-f", "-p", &at, "-h"]).arg(folder).stdin(Stdio::null());
        let server = server.spawn().unwrap();
        eventually("the server", || TcpStream::connect(&at).ok());
        Self { port, server }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// A server on the host's loopback, and the option with which a box may reach it.
fn listen() -> (TcpListener, u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port, format!("--allow-host=host.a3s.internal:{port}"))
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = eventually("a connection", || listener.accept().ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(*PATIENCE)).unwrap();
    stream.set_write_timeout(Some(*PATIENCE)).unwrap();
    stream
}

/// Bytes that look like noise, the same from each start: a piece that is lost, doubled or swapped shows.
struct Noise(u64);

impl Noise {
    /// The next bytes (xorshift64).
    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

/// Whether the boxes' processors are emulated: a guest then does less in the same time.
fn emulated() -> bool {
    *TIMES > 1 || std::env::var("A3S_BOX_ACCEL").is_ok_and(|accel| accel == "tcg")
}

/// Whether the host itself reaches any other.
fn has_a_way_out() -> bool {
    let routes = fs::read_to_string("/proc/net/route").unwrap();
    routes.lines().any(|line| line.split_whitespace().nth(1) == Some("00000000"))
}

#[test]
fn packages_are_installed_and_a_repository_is_cloned() {
    if !has_a_way_out() {
        return not_here("this host has no route to any repository of packages");
    }
    let home = Home::empty();
    home.load("A3S_TEST_DEBIAN", "debian");
    let work = home.path().join("work");
    let script = "git init -q -b main src && cd src && git config user.name t && git config user.email t@example.com && \
                  seq 100000 > numbers && git add . && git commit -qm numbers && cd .. && \
                  git clone -q --bare src www/repo.git && cd www/repo.git && git update-server-info";
    fs::create_dir_all(work.join("www")).unwrap();
    assert!(Command::new("sh").args(["-ec", script]).current_dir(&work).status().unwrap().success());
    let served = Served::new(&work.join("www"));
    let host = format!("host.a3s.internal:{}", served.port);
    let mut run = home.a3s(&["run", "-d", "--name", "b", "--memory", "1g", "--allow-host", &host]);
    for arg in ["debian", "sleep", "100000"] {
        run = run.arg(arg);
    }
    run.run().ok();
    // Whoever vouches for servers here does in the box too.
    let vouchers = fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap();
    let put = home.a3s(&["exec", "-i", "b", "sh", "-c", "cat > /vouchers.crt"]).stdin(vouchers).run();
    put.ok();
    home.exec("b", "apt-get -q update");
    let install = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install";
    if emulated() {
        home.exec("b", &format!("{install} ed"));
        assert!(home.exec("b", "ed --version").starts_with("GNU ed"));
        return;
    }
    home.exec("b", &format!("{install} git python3-pip"));
    home.exec("b", &format!("git clone -q http://{host}/repo.git /repo"));
    assert_eq!(
        home.exec("b", "tail -n 1 /repo/numbers; cd /repo && git fsck && git log --format=%s"),
        "100000\nnumbers"
    );
    home.exec("b", "PIP_CERT=/vouchers.crt pip install -q --break-system-packages --no-deps idna");
    assert_eq!(
        home.exec("b", "python3 -c 'import idna; print(idna.encode(\"\u{e9}\").decode())'"),
        "xn--9ca"
    );
}

#[test]
fn two_gib_come_and_go_unharmed() {
    let size: u64 = if emulated() { 256 << 20 } else { 2 << 30 };
    let (server, port, allowed) = listen();
    let home = Home::new();
    home.start("b", &[&allowed], &format!("nc host.a3s.internal {port} -e cat"));
    let mut stream = accept(&server);
    let mut to = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut noise, mut block) = (Noise(1), vec![0; 256 << 10]);
        for _ in 0..size / (256 << 10) {
            noise.fill(&mut block);
            to.write_all(&block)?;
        }
        to.shutdown(Shutdown::Write)
    });
    let (mut noise, mut expected, mut block) = (Noise(1), vec![0; 256 << 10], vec![0; 256 << 10]);
    for piece in 0..size / (256 << 10) {
        if let Err(error) = stream.read_exact(&mut block) {
            panic!("piece {piece}: {error}; {}", home.a3s(&["net", "log", "b"]).run().text());
        }
        noise.fill(&mut expected);
        assert!(block == expected, "piece {piece} is not what was sent");
    }
    assert_eq!(stream.read(&mut block).unwrap(), 0, "more came than was sent");
    sender.join().unwrap().unwrap();
    assert_eq!(home.a3s(&["wait", "b"]).run().ok(), "0");
}

#[test]
fn a_thousand_connections_at_once() {
    const MANY: u32 = 1000;
    let (server, port, allowed) = listen();
    let home = Home::new();
    home.start("b", &["--memory", "1g", &allowed], "sleep 100000");
    let private = || private_memory(home.pid("b", "shim").unwrap()).unwrap() >> 20;
    let idle = private();
    assert!(idle < 16, "the shim of an idle box has {idle} MiB of its own");
    // The name is asked for once: there is a limit to questions.
    let script = format!(
        "nslookup host.a3s.internal > /dev/null; i=0; \
         while [ $i -lt {MANY} ]; do nc 10.163.80.1 {port} -e cat & i=$((i + 1)); done; wait"
    );
    let mut clients = home.a3s(&["exec", "b", "sh", "-c", &script]).spawn();
    let mut streams: Vec<TcpStream> = (0..MANY).map(|_| accept(&server)).collect();
    for (stream, n) in streams.iter_mut().zip(0u32..) {
        stream.write_all(&n.to_le_bytes()).unwrap();
    }
    // Each answers for itself, while all are open.
    for (stream, n) in streams.iter_mut().zip(0u32..) {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(u32::from_le_bytes(answer), n);
    }
    let busy = private();
    assert!(busy < 64, "the shim has {busy} MiB of its own with {MANY} connections");
    drop(streams);
    clients.wait().ok();
}
