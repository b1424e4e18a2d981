//! Debian's docker-registry on a loopback port of its own.

use super::PATIENCE;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// A registry, until it is dropped.
pub struct Registry {
    pub host: String,
    child: Child,
}

impl Registry {
    /// One with its data in `dir`, and `more` said in its configuration.
    pub fn start(dir: &Path, more: &str) -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let data = dir.join("registry");
        fs::create_dir_all(&data).unwrap();
        let config = data.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '{host}'}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n{more}\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("this test needs docker-registry ({e}); `cargo xtask e2e` installs it")
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
        is_ready.recv_timeout(*PATIENCE).unwrap();
        Self { host, child }
    }

    /// Pushes the image of a layout, in the way that `options` of skopeo say. Its name here.
    pub fn push(&self, layout: &Path, name: &str, options: &[&str]) -> String {
        let to = format!("{}/{name}", self.host);
        let pushed = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"])
            .args(options)
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("docker://{to}"))
            .output()
            .unwrap();
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        to
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
