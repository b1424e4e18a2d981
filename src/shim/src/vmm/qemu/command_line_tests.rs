use super::*;
use a3s_box_core::{BootSpec, BoxId, Bytes, ExecRequest, GuestConfig, NetSpec, Signal, Upper, Vmm};

fn spec() -> ShimSpec {
    ShimSpec {
        id: BoxId::from_bytes([1; 16]),
        name: "it".parse().unwrap(),
        image: "x".into(),
        labels: Default::default(),
        events: Default::default(),
        hooks: Vec::new(),
        policy: Default::default(),
        vmm: Vmm::Qemu,
        accel: Accel::Tcg,
        cpus: 2,
        memory: Bytes::mib(512),
        flavor: Kernel::Standard,
        kernel: "/k/vmlinux".into(),
        initramfs: "/k/initramfs.cpio".into(),
        rootfs: "/r/a,b.erofs".into(),
        upper: Some("/b/upper.ext4".into()),
        volumes: Vec::new(),
        binds: Vec::new(),
        templates: "/t".into(),
        boot_timeout_ms: 1000,
        stop_signal: Signal::TERM,
        discard: false,
        health: None,
        log: Default::default(),
        network: None,
        boot: BootSpec {
            hostname: "h".into(),
            upper: Upper::Disk,
            volumes: Vec::new(),
            binds: Vec::new(),
            guest: GuestConfig::default(),
            process: ExecRequest::default(),
            trust: None,
        },
    }
}

fn joined(spec: &ShimSpec) -> String {
    let words: Vec<String> = arguments(spec).iter().map(|a| a.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

#[test]
fn the_guest_gets_what_is_named_and_nothing_else() {
    let line = joined(&spec());
    for part in [
        "-nodefaults -no-user-config -display none -no-reboot",
        "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-smp 2 -m 512M",
        "-accel tcg,thread=multi,tb-size=256",
        "-kernel /k/vmlinux -initrd /k/initramfs.cpio",
        "readonly=on,file.locking=off,cache=writeback,file=/r/a,,b.erofs -device virtio-blk-device,drive=rootfs,serial=rootfs",
        "file=/b/upper.ext4 -device virtio-blk-device,drive=upper,serial=upper",
        "virtserialport,id=agent,chardev=agent-socket,name=a3s.agent",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains("netdev"));
}

#[test]
fn a_box_without_a_disk_has_one_drive() {
    let line = joined(&ShimSpec { upper: None, cpus: 1, ..spec() });
    assert_eq!(line.matches("-drive").count(), 1);
    assert!(line.contains("-accel tcg,tb-size=256 "));
}

#[test]
fn a_kernel_in_ring_3_is_told_so() {
    let spec = ShimSpec { accel: Accel::Kvm, flavor: Kernel::Cpl3, cpus: 1, ..spec() };
    let line = joined(&spec);
    assert!(line.contains("-cpu host,arch-capabilities=off"));
    assert!(!line.contains("mitigations"), "it has none, and would say so");
}

#[test]
fn an_emulated_kernel_measures_no_clock_that_is_known() {
    let line = joined(&spec());
    assert!(line.contains(" tsc=reliable no_timer_check lapic_timer_hz=1000000000 noreplace-smp "), "{line}");
    let line = joined(&ShimSpec { accel: Accel::Kvm, ..spec() });
    assert!(!line.contains("tsc=reliable"), "{line}");
}

#[test]
fn boxes_differ_in_shape_by_what_their_guests_see() {
    let other = ShimSpec { rootfs: "/r/other".into(), upper: Some("/c/upper.ext4".into()), ..spec() };
    assert_eq!(shape(&spec()), shape(&other));
    for other in [
        ShimSpec { upper: None, ..spec() },
        ShimSpec { network: Some(NetSpec::default()), ..spec() },
        ShimSpec { cpus: 1, ..spec() },
        ShimSpec { memory: Bytes::mib(513), ..spec() },
        ShimSpec { accel: Accel::Kvm, ..spec() },
    ] {
        assert_ne!(shape(&spec()), shape(&other));
    }
}

#[test]
fn a_network_is_a_stream_that_is_inherited() {
    assert!(!joined(&spec()).contains("net"));
    let line = joined(&ShimSpec { network: Some(NetSpec::default()), ..spec() });
    assert!(line.contains("-netdev stream,id=network,server=off,addr.type=fd,addr.str=5"), "{line}");
    assert!(line.contains("virtio-net-device,netdev=network,mac=02:a3:50:00:00:02,host_mtu=65520"), "{line}");
}
