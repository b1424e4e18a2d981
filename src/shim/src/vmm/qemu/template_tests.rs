use super::*;
use a3s_box_core::{Accel, BootSpec, BoxId, Bytes, ExecRequest, GuestConfig, Kernel, Signal, Upper, Vmm};

fn spec(dir: &Path) -> ShimSpec {
    for file in ["vmlinux", "initramfs"] {
        fs::write(dir.join(file), file).unwrap();
    }
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
        cpus: 1,
        memory: Bytes::mib(512),
        flavor: Kernel::Standard,
        kernel: dir.join("vmlinux"),
        initramfs: dir.join("initramfs"),
        rootfs: "/r".into(),
        upper: None,
        volumes: Vec::new(),
        binds: Vec::new(),
        templates: dir.to_owned(),
        boot_timeout_ms: 1000,
        stop_signal: Signal::TERM,
        discard: false,
        health: None,
        log: Default::default(),
        network: None,
        boot: BootSpec {
            hostname: "h".into(),
            upper: Upper::Tmpfs,
            volumes: Vec::new(),
            binds: Vec::new(),
            guest: GuestConfig::default(),
            process: ExecRequest::default(),
            trust: None,
        },
    }
}

fn template(spec: &ShimSpec, argument: &str) -> Template {
    Template::of(spec, Path::new("/proc/self/exe"), &[argument.to_owned()]).unwrap()
}

fn make(template: Template, guest: &[u8]) {
    let making = template.begin().unwrap().unwrap();
    File::from(making.file().try_clone_to_owned().unwrap()).write_all(guest).unwrap();
    making.finish().unwrap();
}

fn read(template: &Template) -> Option<Vec<u8>> {
    let mut guest = Vec::new();
    template.open()?.read_to_end(&mut guest).unwrap();
    Some(guest)
}

#[test]
fn a_template_is_found_by_its_own_shape_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path());
    assert!(read(&template(&spec, "x")).is_none());
    make(template(&spec, "x"), b"guest");
    assert_eq!(read(&template(&spec, "x")).unwrap(), b"guest");
    assert!(read(&template(&spec, "y")).is_none());
    // Another file under the kernel's name is another kernel.
    fs::remove_file(&spec.kernel).unwrap();
    fs::write(&spec.kernel, "another").unwrap();
    assert!(read(&template(&spec, "x")).is_none());
}

#[test]
fn what_is_not_whole_or_not_ours_is_not_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path());
    let path = template(&spec, "x").path;
    make(template(&spec, "x"), b"guest");
    let whole = fs::read(&path).unwrap();
    let mut longer = whole.clone();
    longer.push(0);
    let mut other_key = whole.clone();
    other_key[30] ^= 1;
    let mut endless_key = whole.clone();
    endless_key[16..24].fill(0xff);
    for bad in [&whole[..whole.len() - 1], &whole[..10], b"", &longer, &other_key, &endless_key] {
        fs::write(&path, bad).unwrap();
        assert!(read(&template(&spec, "x")).is_none());
    }
}

#[test]
fn one_box_at_a_time_makes_a_template_and_an_unfinished_one_vanishes() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path());
    let before = fs::read_dir(dir.path()).unwrap().count();
    let making = template(&spec, "x").begin().unwrap().unwrap();
    assert!(template(&spec, "y").begin().unwrap().is_none());
    drop(making);
    // The lock's file alone.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before + 1);
    assert!(template(&spec, "y").begin().unwrap().is_some());
}

#[test]
fn those_used_last_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path());
    for number in 0..=KEPT {
        make(template(&spec, &number.to_string()), b"guest");
        // Times as they would be: a second apart.
        let age = std::time::Duration::from_secs(100 - number as u64);
        let file = File::open(template(&spec, &number.to_string()).path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    read(&template(&spec, "1")).unwrap();
    make(template(&spec, "last"), b"guest");
    let left: Vec<usize> = (0..=KEPT).filter(|n| read(&template(&spec, &n.to_string())).is_some()).collect();
    assert_eq!(left, [1].into_iter().chain(3..=KEPT).collect::<Vec<_>>());
}
