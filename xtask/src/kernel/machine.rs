//! The machines that kernels are tried in, and what is at the other end of their devices.

use crate::step::quietly;
use crate::{build, host};
use a3s_box_core::NetSpec;
use a3s_box_net::Network;
use anyhow::Result;
use clap::ValueEnum;
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

const MEMORY_MIB: u32 = 512;
const DISK_BYTES: u64 = 256 << 20;
/// The vsock port at which the guest hears what it says.
const ECHO_PORT: u32 = 7;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// QEMU, which emulates
    Tcg,
    /// QEMU with KVM
    Kvm,
    /// libkrun
    Krun,
}

/// A machine with a disk and a network, on libkrun with a vsock port and a shared folder too.
pub(super) struct Machine {
    command: Command,
    kind: Kind,
    /// The guest's address and the gateway's, and which devices it has beyond those that all have.
    told: String,
    /// Of libkrun's: the gateway, and the VMM's end of the stream to it.
    _network: Option<(Network, UnixStream)>,
}

impl Machine {
    /// A machine of `kind` for a kernel that may be of flavour `cpl3`. What it works on lies in the folder `scratch`.
    pub(super) fn new(kind: Kind, cpl3: bool, cpus: u32, scratch: &Path) -> Result<Self> {
        let disk = scratch.join("disk");
        File::create(&disk)?.set_len(DISK_BYTES)?;
        quietly(Command::new("/sbin/mkfs.ext4").arg("-q").arg(&disk))?;
        match kind {
            Kind::Krun => krun(&disk, scratch),
            Kind::Tcg | Kind::Kvm => Ok(qemu(kind, cpl3, cpus, &disk)),
        }
    }

    /// What starts it. The kernel is told `words`, and what it has to know about the machine.
    pub(super) fn boot(&mut self, vmlinux: &Path, initramfs: &Path, words: &str) -> &mut Command {
        let facts = match self.kind {
            Kind::Kvm | Kind::Krun => "lapic_timer_hz=1000000000",
            Kind::Tcg => {
                "mitigations=off tsc=reliable no_timer_check lapic_timer_hz=1000000000 noreplace-smp"
            }
        };
        let told = &self.told;
        let line = format!("console=ttyS0 quiet loglevel=4 reboot=t panic=-1 {facts} {told} {words}");
        let (kernel, initramfs) = (vmlinux.display(), initramfs.display());
        match self.kind {
            Kind::Krun => self.command.args([
                format!("kernel={kernel}"),
                format!("initramfs={initramfs}"),
                format!("append={line}"),
            ]),
            Kind::Tcg | Kind::Kvm => self.command.args([
                "-kernel",
                &kernel.to_string(),
                "-initrd",
                &initramfs.to_string(),
                "-append",
                &line,
            ]),
        }
    }
}

/// The machine that boxes get, with QEMU's own network.
fn qemu(kind: Kind, cpl3: bool, cpus: u32, disk: &Path) -> Machine {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    command.args(["-m", &format!("{MEMORY_MIB}M"), "-smp", &cpus.to_string()]);
    command.args(host::microvm(kind == Kind::Kvm, cpl3));
    command.args(["-accel", if kind == Kind::Kvm { "kvm" } else { "tcg,thread=multi" }]);
    command.args(["-device", "virtio-serial-device", "-device", "virtio-rng-device"]);
    command.args(["-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"]);
    command.args(["-drive", &format!("if=none,id=disk,format=raw,file={}", disk.display())]);
    command.args(["-device", "virtio-blk-device,drive=disk"]);
    Machine { command, kind, told: "conformance.net=10.0.2.15:10.0.2.2".to_owned(), _network: None }
}

/// A machine of libkrun's, with a box's network, an echo at a vsock port, and a folder.
fn krun(disk: &Path, scratch: &Path) -> Result<Machine> {
    let (echo, folder) = (scratch.join("echo"), scratch.join("folder"));
    serve_echo(UnixListener::bind(&echo)?);
    fs::create_dir(&folder)?;
    let (ours, theirs) = UnixStream::pair()?;
    let spec = NetSpec::default();
    let network =
        Network::start(&spec, &Default::default(), "conformance", &scratch.join("net.jsonl"), ours)?;
    fcntl_setfd(&theirs, FdFlags::empty())?;
    let mac = spec.addresses.mac_text();
    let mut command = Command::new(build::bare_krun()?);
    command.args([
        format!("memory={MEMORY_MIB}"),
        format!("disk={}", disk.display()),
        format!("net={}:{mac}", theirs.as_raw_fd()),
        format!("port={ECHO_PORT}:{}", echo.display()),
        format!("folder={}", folder.display()),
    ]);
    let told = format!(
        "conformance.net={}:{} conformance.devices=vsock,folder",
        spec.addresses.guest4, spec.addresses.gateway4
    );
    Ok(Machine { command, kind: Kind::Krun, told, _network: Some((network, theirs)) })
}

/// Says back what each connection says, until it ends. It hears while it speaks: libkrun reads nothing from a socket that
/// it waits to write to.
fn serve_echo(listener: UnixListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(|stream| stream.ok()) {
            let (said, heard) = mpsc::channel::<Vec<u8>>();
            let Ok(mut back) = stream.try_clone() else { return };
            std::thread::spawn(move || heard.iter().try_for_each(|bytes| back.write_all(&bytes)));
            std::thread::spawn(move || hear(stream, &said));
        }
    });
}

/// Passes on what `stream` says. Whoever ends it is not missed.
fn hear(mut stream: UnixStream, said: &mpsc::Sender<Vec<u8>>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        if said.send(bytes[..length].to_vec()).is_err() {
            break;
        }
    }
}
