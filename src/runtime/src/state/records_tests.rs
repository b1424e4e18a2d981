use super::super::ImagePin;
use super::*;
use a3s_box_core::{Accel, BoxConfig, ExecRequest, Kernel, Signal, Vmm};

fn record(first: u8, name: &str) -> BoxRecord {
    BoxRecord {
        id: BoxId::from_bytes([first; 16]),
        name: name.parse().unwrap(),
        config: BoxConfig::new("x"),
        image: ImagePin { digest: "sha256:0".into(), rootfs: "x.erofs".into() },
        process: ExecRequest::default(),
        stop_signal: Signal::TERM,
        health: None,
        labels: Default::default(),
        vmm: Vmm::Qemu,
        accel: Accel::Tcg,
        kernel: Kernel::Standard,
        stepped_down: None,
        created_at: 1,
        creator: None,
    }
}

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    (dir, home)
}

#[test]
fn a_box_is_found_by_name_id_and_unique_prefix() {
    let (_dir, home) = home();
    let mut state = State::write(&home).unwrap();
    for r in [record(0xaa, "one"), record(0xab, "two"), record(0xcc, "aaaa")] {
        state.change(|records| drop(records.insert(r.id.clone(), r))).unwrap();
    }
    drop(state);
    let state = State::read(&home).unwrap();
    assert_eq!(state.find("one").unwrap().name.as_str(), "one");
    assert_eq!(state.find(&"ab".repeat(16)).unwrap().name.as_str(), "two");
    assert_eq!(state.find("c").unwrap().name.as_str(), "aaaa");
    assert_eq!(state.find("aaaa").unwrap().name.as_str(), "aaaa", "a name wins over a prefix");
    assert!(state.find("a").unwrap_err().to_string().contains("ambiguous"));
    assert_eq!(state.find("").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(state.find("zz").unwrap_err().to_string(), "no such box: zz");
}

#[test]
fn a_damaged_or_newer_file_is_refused_and_left_alone() {
    let (_dir, home) = home();
    for (text, kind) in [
        ("", ErrorKind::Corrupt),
        ("{\"schema\":1", ErrorKind::Corrupt),
        ("{\"schema\":1,\"boxes\":{\"x\":{}}}", ErrorKind::Corrupt),
        ("{\"schema\":2,\"boxes\":[]}", ErrorKind::Unsupported),
    ] {
        std::fs::write(home.records(), text).unwrap();
        assert_eq!(State::write(&home).unwrap_err().kind(), kind, "{text}");
        let error = State::read(&home).unwrap_err();
        assert_eq!(std::fs::read_to_string(home.records()).unwrap(), text);
        // It was copied, and but once.
        let copies: Vec<_> = std::fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "bak"))
            .filter(|path| std::fs::read_to_string(path).unwrap() == text)
            .collect();
        let [copy] = &copies[..] else { panic!("{copies:?}") };
        assert!(error.hint().unwrap().contains(&copy.display().to_string()));
    }
}
