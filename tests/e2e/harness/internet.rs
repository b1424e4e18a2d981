//! An internet of a test's own: a network namespace whose one machine has addresses that are nobody's, with real
//! servers. Boxes that are started in it have it for their host's network. Needs no root where user namespaces are
//! allowed.

use super::{A3s, eventually};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Addresses of the machine.
pub const SERVER: &str = "198.51.100.1";
pub const OTHER: &str = "198.51.100.2";
pub const SERVER6: &str = "2001:db8::1";

pub struct Internet {
    holder: Child,
    servers: Vec<Child>,
}

impl Internet {
    pub fn new() -> Self {
        let script = "ip link set lo up && for a in \"$@\"; do ip addr add $a dev lo || exit 1; done;  \
                      exec sleep infinity";
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--kill-child", "sh", "-c", script, "sh"])
            .args([format!("{SERVER}/32"), format!("{OTHER}/32"), format!("{SERVER6}/128")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let internet = Self { holder, servers: Vec::new() };
        eventually("the namespace's addresses", || {
            let shown = internet.command("ip").args(["-6", "addr", "show", "dev", "lo"]).output().ok()?;
            String::from_utf8_lossy(&shown.stdout).contains(SERVER6).then_some(())
        });
        internet
    }

    /// A program of the host's in here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--user", "--net", "--target"]);
        command.arg(self.holder.id().to_string()).arg("--").arg(program).stdin(Stdio::null());
        command
    }

    /// The command of `a3s-box`, run in here.
    pub fn run(&self, command: A3s) -> A3s {
        command.through(self.command("env"))
    }

    /// Starts a server, which is to listen at `at` on TCP, and waits until it does.
    pub fn serve(&mut self, at: &str, program: &str, args: &[&str]) {
        let mut command = self.command(program);
        self.servers.push(command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let at: SocketAddr = at.parse().unwrap();
        eventually(program, || {
            let shown = self.command("ss").arg("-Hltn").output().unwrap();
            String::from_utf8_lossy(&shown.stdout).contains(&format!(" {at} ")).then_some(())
        });
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for child in self.servers.iter_mut().chain([&mut self.holder]) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
