//! The network: one VM with the guest's end of three networks in turn: ours, passt, and QEMU's own.

use super::{median, report};
use crate::host::{Host, Pair};
use crate::places;
use crate::step::{quietly, step};
use crate::{build, packages};
use a3s_box_core::{NetAddresses, NetPolicy, NetRule, NetSpec};
use a3s_box_net::Network;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What goes each way in a round.
const SIZE: u64 = 128 << 20;
/// Connections of a round whose set-up is timed.
const CONNECTIONS: u32 = 50;
/// Nothing in a round takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The guest: it asks at the gateway what to do, does it, and asks again. dd has the socket itself: nc copies by the KiB.
const INIT: &str = r#"#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for word in $(cat /proc/cmdline); do case $word in bench.*) export "${word#bench.}";; esac; done
ip link set lo up
ip link set eth0 mtu $MTU up
ip addr add $GUEST/24 dev eth0
ip route add default via $GATEWAY
while :; do
    nc $GATEWAY $PORT -e dd of=/order
    set -- $(cat /order)
    case "$1" in
        get) nc $GATEWAY $2 -e dd of=/dev/null bs=64k;;
        put) nc $GATEWAY $2 -e dd if=/dev/zero bs=64k count=$3;;
        connect) n=0; while [ $n -lt $3 ]; do nc $GATEWAY $2 -e true; n=$((n + 1)); done;;
    esac
done
"#;

/// What stands at the host's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Ours,
    Plain,
    Passt,
    Slirp,
}

impl Peer {
    const ALL: [Self; 4] = [Self::Ours, Self::Plain, Self::Passt, Self::Slirp];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "a3s-box-net, a policy of 100 rules",
            Self::Plain => "a3s-box-net, the default policy",
            Self::Passt => "passt",
            Self::Slirp => "QEMU's -netdev user",
        }
    }
}

/// The figures of one peer.
#[derive(Default)]
struct Figures {
    get: Vec<Duration>,
    put: Vec<Duration>,
    connect: Vec<Duration>,
    /// Processor time of a GiB each way, QEMU's included.
    busy: Vec<Duration>,
}

pub(super) fn run(rounds: usize) -> Result<()> {
    packages::install(&[packages::RUN, packages::TEST])?;
    let programs = build::run_all()?;
    let pair = Host::ask(&programs)?.pairs().into_iter().find(|pair| pair.vmm == "qemu");
    let pair = pair.context("this host has no QEMU")?;
    let dir = tempfile::tempdir()?;
    let initramfs = initramfs(dir.path())?;
    let mut machines = Peer::ALL
        .iter()
        .map(|peer| Machine::start(*peer, pair, dir.path(), &programs, &initramfs))
        .collect::<Result<Vec<_>>>()?;
    let mut figures: Vec<Figures> = Peer::ALL.iter().map(|_| Figures::default()).collect();
    step(&format!("{rounds} rounds"), || {
        for round in 0..=rounds {
            for ((machine, figures), peer) in machines.iter_mut().zip(&mut figures).zip(Peer::ALL) {
                machine.resume()?;
                let before = machine.busy()?;
                let get = machine.get().with_context(|| format!("to the guest, {}", peer.name()))?;
                let put = machine.put().with_context(|| format!("from the guest, {}", peer.name()))?;
                let busy = machine.busy()?.saturating_sub(before);
                let connect = machine.connect().with_context(|| format!("connections, {}", peer.name()))?;
                machine.pause()?;
                // The first round warms caches and does not count.
                if round > 0 {
                    figures.get.push(get);
                    figures.put.push(put);
                    figures.connect.push(connect / CONNECTIONS);
                    figures.busy.push(busy * u32::try_from((1 << 30) / (2 * SIZE)).unwrap_or(1));
                }
            }
        }
        Ok(())
    })?;
    let speed = |times: &[Duration]| SIZE as f64 / f64::from(1 << 20) / median(times).as_secs_f64();
    let rows = Peer::ALL.iter().zip(&figures).map(|(peer, figures)| {
        format!(
            "| {} | {:.0} | {:.0} | {:.1} | {:.2} |\n",
            peer.name(),
            speed(&figures.get),
            speed(&figures.put),
            median(&figures.connect).as_secs_f64() * 1000.0,
            median(&figures.busy).as_secs_f64()
        )
    });
    let body = format!(
        "One VM ({pair}), TCP between busybox in the guest and \
         the host's loopback, {} MiB each way. MTU 65,520, for `-netdev user` 1,500: it has no other. Processor time is the VMM's \
         and the network's together. Medians of {rounds}.\n\n\
         | network | to the guest, MiB/s | from the guest, MiB/s | a connection, ms | processor, s/GiB |\n\
         |---|---|---|---|---|\n{}",
        SIZE >> 20,
        rows.collect::<String>()
    );
    report::write("Network", "cargo xtask bench net", &body)
}

/// One VM and its network.
struct Machine {
    qemu: Child,
    /// The process of the network, where it has one of its own.
    beside: Option<Child>,
    network: Option<Network>,
    orders: TcpListener,
}

impl Machine {
    fn start(peer: Peer, pair: Pair, dir: &Path, programs: &Path, initramfs: &Path) -> Result<Self> {
        let orders = TcpListener::bind("127.0.0.1:0")?;
        let addresses = NetAddresses::default();
        let (guest, gateway) = (addresses.guest4, addresses.gateway4);
        let mut mtu = addresses.mtu;
        let (mut network, mut beside) = (None, None);
        let mut given: Option<OwnedFd> = None;
        let netdev = match peer {
            Peer::Ours | Peer::Plain => {
                let (ours, theirs) = UnixStream::pair()?;
                let log = dir.join(format!("{}.jsonl", peer.name()));
                network = Some(Network::start(&spec(peer)?, &Default::default(), "bench", &log, ours)?);
                rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())?;
                let netdev = format!("stream,id=n,server=off,addr.type=fd,addr.str={}", theirs.as_raw_fd());
                given = Some(theirs.into());
                netdev
            }
            Peer::Passt => {
                // Started by root, it becomes somebody else before it makes its socket.
                let folder = dir.join("passt");
                fs::create_dir(&folder)?;
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
                fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
                let socket = folder.join("sock");
                let mut passt = Command::new("passt");
                passt.args(["--foreground", "--quiet", "--socket"]).arg(&socket);
                passt.args(["-a", &guest.to_string(), "-n", "24", "-g", &gateway.to_string()]);
                passt.args(["-m", &mtu.to_string(), "--no-dhcp", "--no-ra", "--no-dhcpv6"]);
                beside = Some(
                    passt.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot run passt")?,
                );
                let deadline = Instant::now() + PATIENCE;
                while !socket.exists() {
                    ensure!(Instant::now() < deadline, "passt does not listen");
                    std::thread::sleep(Duration::from_millis(10));
                }
                format!("stream,id=n,server=off,addr.type=unix,addr.path={}", socket.display())
            }
            Peer::Slirp => {
                mtu = 1500;
                format!("user,id=n,net={gateway}/24,host={gateway},dhcpstart={guest}")
            }
        };
        let port = orders.local_addr()?.port();
        let line = format!(
            "console=ttyS0 quiet {} bench.MTU={mtu} bench.GUEST={guest} bench.GATEWAY={gateway} bench.PORT={port}",
            if pair.accel == "tcg" { "tsc=reliable no_timer_check" } else { "" }
        );
        let mac = addresses.mac_text();
        let device = format!("virtio-net-device,netdev=n,mac={mac}");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "256M"]);
        qemu.args(["-accel", pair.accel]).args(pair.microvm());
        qemu.args(["-netdev", &netdev, "-device", &device, "-serial", "null"]);
        qemu.arg("-kernel")
            .arg(programs.join("kernel").join(pair.kernel_file()))
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &line]);
        let qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("cannot run QEMU")?;
        drop(given);
        let mut machine = Self { qemu, beside, network, orders };
        // Once it asks, it is up.
        drop(machine.asked()?);
        machine.pause()?;
        Ok(machine)
    }

    /// The guest's next question.
    fn asked(&mut self) -> Result<TcpStream> {
        accept(&self.orders)
    }

    /// The time of `SIZE` bytes to the guest.
    fn get(&mut self) -> Result<Duration> {
        let data = TcpListener::bind("127.0.0.1:0")?;
        self.order(&format!("get {}", data.local_addr()?.port()))?;
        let mut stream = accept(&data)?;
        let begin = Instant::now();
        let block = vec![0; 256 << 10];
        for _ in 0..SIZE / (256 << 10) {
            stream.write_all(&block)?;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        // The guest closes when it has had it all.
        stream.read_to_end(&mut Vec::new())?;
        Ok(begin.elapsed())
    }

    /// The time of `SIZE` bytes from the guest.
    fn put(&mut self) -> Result<Duration> {
        let data = TcpListener::bind("127.0.0.1:0")?;
        self.order(&format!("put {} {}", data.local_addr()?.port(), SIZE >> 16))?;
        let mut stream = accept(&data)?;
        let begin = Instant::now();
        let (mut block, mut left) = (vec![0; 256 << 10], SIZE);
        while left > 0 {
            match stream.read(&mut block)? {
                0 => bail!("the guest sent {} bytes, not {SIZE}", SIZE - left),
                count => left -= count as u64,
            }
        }
        Ok(begin.elapsed())
    }

    /// The time of all connections together.
    fn connect(&mut self) -> Result<Duration> {
        let data = TcpListener::bind("127.0.0.1:0")?;
        self.order(&format!("connect {} {CONNECTIONS}", data.local_addr()?.port()))?;
        drop(accept(&data)?);
        let begin = Instant::now();
        for _ in 1..CONNECTIONS {
            drop(accept(&data)?);
        }
        Ok(begin.elapsed())
    }

    fn order(&mut self, order: &str) -> Result<()> {
        Ok(self.asked()?.write_all(order.as_bytes())?)
    }

    /// Processor time of the VMM and of the network.
    fn busy(&self) -> Result<Duration> {
        let mut ticks = of_stat(&format!("/proc/{}/stat", self.qemu.id()))?;
        if let Some(beside) = &self.beside {
            ticks += of_stat(&format!("/proc/{}/stat", beside.id()))?;
        }
        if self.network.is_some() {
            // Our networks are threads of this process; while one is measured the others stand still.
            for entry in fs::read_dir("/proc/self/task")? {
                let task = entry?.path();
                if fs::read_to_string(task.join("comm"))?.trim() == "network" {
                    ticks += of_stat(&task.join("stat").to_string_lossy())?;
                }
            }
        }
        Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
    }

    /// Lets the guest stand still, so that it takes nothing from the others.
    fn pause(&self) -> Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    fn resume(&self) -> Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = i32::try_from(self.qemu.id()).ok().and_then(rustix::process::Pid::from_raw);
        Ok(rustix::process::kill_process(pid.context("no such process")?, signal)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in [Some(&mut self.qemu), self.beside.as_mut()].into_iter().flatten() {
            drop(child.kill());
            drop(child.wait());
        }
        drop(self.network.take().map(Network::stop));
    }
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let ready = rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN);
    let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    ensure!(rustix::event::poll(&mut [ready], Some(&patience))? == 1, "the guest does not come");
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// User and system time in ticks (proc(5), fields 14 and 15 of `stat`).
fn of_stat(path: &str) -> Result<u64> {
    let stat = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let (_, rest) = stat.rsplit_once(')').context("no stat")?;
    rest.split_ascii_whitespace().skip(11).take(2).map(|field| Ok(field.parse::<u64>()?)).sum()
}

/// The host is open; with a policy, its rule comes after many others.
fn spec(peer: Peer) -> Result<NetSpec> {
    let mut rules: Vec<NetRule> = Vec::new();
    if peer == Peer::Ours {
        for n in 0..50 {
            rules.push(format!("deny net 198.51.{n}.0/24").parse()?);
            rules.push(format!("deny net 203.0.{n}.0/24:80-90").parse()?);
        }
    }
    rules.push("allow any".parse()?);
    Ok(NetSpec { policy: NetPolicy { rules, ..NetPolicy::default() }, ..NetSpec::default() })
}

/// busybox, and the guest's script.
fn initramfs(dir: &Path) -> Result<PathBuf> {
    let root = dir.join("root");
    for folder in ["bin", "dev", "proc"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    for applet in ["sh", "mount", "cat", "ip", "nc", "dd", "true"] {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let archive = dir.join("initramfs.cpio");
    let script = "cd \"$0\" && find . | cpio --create --format=newc --owner=+0:+0 --quiet > \"$1\"";
    quietly(Command::new("sh").args(["-c", script]).arg(&root).arg(&archive).current_dir(places::root()))?;
    Ok(archive)
}
