//! Programs that the tests compare with, and the folders they work in.

use a3s_box_image::{
    Image, ImageStore, Keychain, Platform, Pull, PullEvent, Registries, Result, RootfsCache,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Runs `program`, which must succeed; a missing one is named.
pub fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("this test needs `{program}` ({e}); `cargo xtask test` installs it"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    output
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder that is there.
pub struct Folder {
    path: PathBuf,
    /// It goes with this, where it is ours.
    _own: Option<TempDir>,
}

impl Folder {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A host's folders: a store, a cache, and room for the test's own files.
pub struct Home {
    pub dir: Folder,
    pub store: ImageStore,
    pub rootfs: RootfsCache,
}

impl Home {
    pub fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut home = Self::at(own.path());
        home.dir._own = Some(own);
        home
    }

    /// The one in `path`, which another process made.
    pub fn at(path: &Path) -> Self {
        let store = ImageStore::open(path.join("images")).unwrap();
        let rootfs = RootfsCache::open(path.join("rootfs")).unwrap();
        Self { dir: Folder { path: path.to_owned(), _own: None }, store, rootfs }
    }

    /// Pulls for this host, and builds the rootfs image meanwhile.
    pub fn pull(
        &self,
        reference: &str,
        keychain: &Keychain,
        registries: &Registries,
        progress: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<Image> {
        self.store.pull(&Pull {
            reference: &reference.parse().unwrap(),
            platform: Platform::host(),
            registries,
            keychain,
            verify: &[],
            rootfs: Some(&self.rootfs),
            make_room: &|_| Ok(()),
            progress,
        })
    }

    /// A path of the test's own.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The names in the store's blob folder and in the rootfs folder, lock files aside.
    pub fn leftovers(&self) -> Vec<String> {
        let mut names = Vec::new();
        for dir in ["images", "images/blobs/sha256", "images/partial", "rootfs"] {
            for entry in std::fs::read_dir(self.path(dir)).into_iter().flatten() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let kept =
                    ["oci-layout", "blobs", "index.json", "index.lock", "blobs.lock", "partial", "used"];
                if !kept.contains(&name.as_str()) && !name.starts_with(".lock-") {
                    names.push(format!("{dir}/{name}"));
                }
            }
        }
        names.sort();
        names
    }
}

/// Debian's docker-registry on a loopback port of its own, with its data in a test's folder.
pub struct Registry {
    pub host: String,
    child: Child,
}

impl Registry {
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, "", "")
    }

    /// As `start`, with more said in the `http` part of its configuration, and beside it.
    pub fn start_with(home: &Home, http: &str, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = home.path("registry.yml");
        let data = home.path("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '{host}'{http}}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n{more}\n",
            arg(&data)
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", arg(&config)])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("this test needs `docker-registry` ({e}); `cargo xtask test` installs it")
            });
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (ready, is_ready) = mpsc::channel();
        // The log is read to its end, so that the registry never waits for room in the pipe.
        thread::spawn(move || {
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|count| count > 0) {
                if line.contains("listening on") {
                    let _ = ready.send(());
                }
                line.clear();
            }
        });
        is_ready.recv_timeout(Duration::from_secs(60)).unwrap();
        Self { host, child }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A peer on loopback that answers each request as the test says, and notes what it was asked.
pub struct Peer {
    pub host: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub fn start(serve: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_with(move |_, request| serve(request))
    }

    /// As `start`; the answer may depend on the peer's own address.
    pub fn start_with(serve: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (own, seen) = (host.clone(), Arc::clone(&requests));
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, seen, serve) = (own.clone(), Arc::clone(&seen), Arc::clone(&serve));
                thread::spawn(move || answer(stream.unwrap(), &seen, |request| serve(&own, request)));
            }
        });
        Self { host, requests }
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>, serve: impl Fn(&str) -> Vec<u8>) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    loop {
        let mut request = Vec::new();
        let mut byte = [0; 1];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        if request.is_empty() {
            return;
        }
        seen.lock().unwrap().push(request.clone());
        // As a proxy, the peer is the other end of the tunnel, too.
        if request.starts_with("CONNECT ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            continue;
        }
        // The client may hang up in the middle of an answer that it does not like.
        let _ = stream.write_all(&serve(&request));
        return;
    }
}
