//! QEMU's command line for a box.

use super::super::command_line::kernel;
use crate::confine::TRANSLATED;
use a3s_box_agent::AGENT_PORT_NAME;
use a3s_box_core::{Accel, Kernel, ShimSpec, volume_serial};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// The program for guests of this host's architecture.
pub(super) const PROGRAM: &str =
    if cfg!(target_arch = "aarch64") { "qemu-system-aarch64" } else { "qemu-system-x86_64" };

/// The descriptor of the agent's port in QEMU.
pub(super) const AGENT_FD: i32 = 3;
/// The descriptor of QMP.
pub(super) const QMP_FD: i32 = 4;
/// The descriptor of the network's stream, where there is one.
pub(super) const NETWORK_FD: i32 = 5;
/// What a network device can do and this one need not: no driver then asks for it while the guest boots. Filters,
/// VLANs and announcements are for links with more than two ends.
const NETWORK_EXTRAS: &str = "ctrl_vq=off,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,ctrl_mac_addr=off,\
                              ctrl_guest_offloads=off,guest_announce=off,status=off";
/// The id of the agent's port, which QMP events name.
pub(super) const PORT_ID: &str = "agent";

/// The descriptor of the template that the guest goes on from, where it does.
pub(super) fn template_fd(spec: &ShimSpec) -> i32 {
    NETWORK_FD + i32::from(spec.network.is_some())
}

/// All arguments. Files are named by path, what belongs to this run alone by inherited descriptor.
pub(super) fn arguments(spec: &ShimSpec) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
    // Nothing but what is named here, and a guest that resets ends the VM.
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    add(&["-machine", machine(spec.accel)]);
    add(&["-accel", &accel(spec), "-cpu", cpu(spec)]);
    add(&["-smp", &spec.cpus.to_string(), "-m", &format!("{}M", spec.memory.to_mib())]);
    add(&["-chardev", &format!("socket,id=qmp,fd={QMP_FD}"), "-mon", "chardev=qmp,mode=control"]);
    add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    add(&["-device", "virtio-serial-device", "-chardev", &format!("socket,id=agent-socket,fd={AGENT_FD}")]);
    add(&["-device", &format!("virtserialport,id={PORT_ID},chardev=agent-socket,name={AGENT_PORT_NAME}")]);
    // Left alone, it makes as many bytes at once as the guest asks for: gibibytes.
    add(&["-device", "virtio-rng-device,max-bytes=65536,period=100"]);
    if let Some(network) = &spec.network {
        let (mac, mtu) = (network.addresses.mac_text(), network.addresses.mtu);
        let device = format!("virtio-net-device,netdev=network,mac={mac},host_mtu={mtu},{NETWORK_EXTRAS}");
        add(&["-netdev", &format!("stream,id=network,server=off,addr.type=fd,addr.str={NETWORK_FD}")]);
        add(&["-device", &device]);
    }
    add(&["-append", &kernel(spec)]);
    for (option, file) in [("-kernel", &spec.kernel), ("-initrd", &spec.initramfs)] {
        args.extend([option.into(), file.clone().into()]);
    }
    disk(&mut args, "rootfs", &spec.rootfs, true);
    if let Some(upper) = &spec.upper {
        disk(&mut args, "upper", upper, false);
    }
    for (index, volume) in spec.volumes.iter().enumerate() {
        disk(&mut args, &volume_serial(index), &volume.path, volume.read_only);
    }
    args
}

/// The arguments that boxes of one shape share: all but the names of their own disks.
pub(super) fn shape(spec: &ShimSpec) -> Vec<String> {
    let upper = spec.upper.as_ref().map(|_| "upper".into());
    let mut alike = ShimSpec { rootfs: "rootfs".into(), upper, ..spec.clone() };
    alike.volumes.iter_mut().for_each(|volume| volume.path = "volume".into());
    arguments(&alike).iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn machine(accel: Accel) -> &'static str {
    match (cfg!(target_arch = "aarch64"), accel) {
        (true, _) => "virt",
        // With ACPI on, tables fail to load and some boots hang in TSC calibration. KVM has clocks of its own;
        // under emulation the kernel needs the timer and the interrupt controller of a PC.
        (false, Accel::Kvm) => "microvm,acpi=off,pit=off,pic=off,rtc=on,isa-serial=on,x-option-roms=off",
        (false, _) => "microvm,acpi=off,rtc=on,isa-serial=on,x-option-roms=off",
    }
}

fn accel(spec: &ShimSpec) -> String {
    match spec.accel {
        Accel::Kvm => "kvm".to_owned(),
        Accel::Hvf => "hvf".to_owned(),
        Accel::Tcg => {
            let thread = if spec.cpus > 1 { ",thread=multi" } else { "" };
            format!("tcg{thread},tb-size={}", TRANSLATED >> 20)
        }
    }
}

fn cpu(spec: &ShimSpec) -> &'static str {
    match spec.accel {
        // What this register tells, such a host's KVM cannot read.
        Accel::Kvm if spec.flavor == Kernel::Cpl3 => "host,arch-capabilities=off",
        Accel::Kvm | Accel::Hvf => "host",
        // QEMU lets an `iret` of a program read its stack as the kernel would; with SMAP that stops the kernel.
        Accel::Tcg => "max,-smap",
    }
}

/// A disk that the guest finds by its serial number.
fn disk(args: &mut Vec<OsString>, serial: &str, file: &Path, read_only: bool) {
    // A shared file must not be locked, and all boxes share the rootfs image. A comma in a path is written twice.
    // Left alone, QEMU stops the whole guest where the host's disk is full, and nobody would know why it stands still.
    let mut drive = OsString::from(format!("if=none,id={serial},format=raw,"));
    drive.push(if read_only {
        "readonly=on,file.locking=off,cache=writeback,file="
    } else {
        "cache=writeback,discard=unmap,werror=report,file="
    });
    let path = file.as_os_str().as_encoded_bytes();
    let doubled: Vec<u8> =
        path.iter().flat_map(|b| if *b == b',' { vec![b',', b','] } else { vec![*b] }).collect();
    drive.push(OsString::from_vec(doubled));
    args.push("-drive".into());
    args.push(drive);
    args.push("-device".into());
    args.push(format!("virtio-blk-device,drive={serial},serial={serial}").into());
}

#[cfg(test)]
#[path = "command_line_tests.rs"]
mod tests;
