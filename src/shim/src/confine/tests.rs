use super::*;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

/// Set in the process that is confined: this test program once more.
const INSIDE: &str = "A3S_TEST_CONFINED";
const NAME: &str = "confine::tests::a_confined_vmm_can_do_what_it_needs_and_nothing_else";

#[test]
fn a_confined_vmm_can_do_what_it_needs_and_nothing_else() {
    if std::env::var_os(INSIDE).is_some() {
        // The test harness runs a test in a thread of its own, which is what gets confined.
        return inside();
    }
    let dir = tempfile::tempdir().unwrap();
    for file in ["mine", "shared", "other"] {
        std::fs::write(dir.path().join(file), "0123456789").unwrap();
    }
    once_more(NAME, dir.path());
}

/// Runs the test `name` in `dir` as the process that is confined.
fn once_more(name: &str, dir: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("was confined"), "{text}");
}

/// As above, for the file server.
const SERVER: &str = "confine::tests::a_confined_file_server_can_work_on_its_folders_and_nothing_else";

#[test]
fn a_confined_file_server_can_work_on_its_folders_and_nothing_else() {
    if std::env::var_os(INSIDE).is_some() {
        return inside_server();
    }
    let dir = tempfile::tempdir().unwrap();
    for folder in ["ours", "looked-at"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        std::fs::write(dir.path().join(folder).join("file"), "0123456789").unwrap();
    }
    std::fs::write(dir.path().join("other"), "0123456789").unwrap();
    once_more(SERVER, dir.path());
}

fn inside_server() {
    use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, renameat_with, unlinkat};
    let open =
        |name: &str, flags: OFlags| openat(CWD, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644));
    let ours = open("ours", OFlags::PATH).unwrap();
    let looked_at = open("looked-at", OFlags::PATH).unwrap();
    let most = confine_files(&[(&ours, false), (&looked_at, true)]).unwrap();
    assert!(most >= 64, "{most}");

    // What a file server does.
    std::thread::spawn(|| ()).join().unwrap();
    let in_ours =
        |name: &str, flags: OFlags| openat(&ours, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644));
    drop(in_ours("new", OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY).unwrap());
    rustix::fs::ftruncate(in_ours("file", OFlags::RDWR).unwrap(), 3).unwrap();
    mkdirat(&ours, "folder", Mode::from_raw_mode(0o755)).unwrap();
    renameat_with(&ours, "new", &ours, "folder/moved", rustix::fs::RenameFlags::NOREPLACE).unwrap();
    unlinkat(&ours, "folder/moved", rustix::fs::AtFlags::empty()).unwrap();
    openat(&looked_at, "file", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();

    // What it does not.
    let refused = |what: &str, result: Result<(), Error>| {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
    };
    let fd = |result: rustix::io::Result<OwnedFd>| result.map(drop).map_err(Error::from);
    if crate::sys::landlock_version() > 0 {
        refused("reading another file", fd(open("other", OFlags::RDONLY)));
        refused("reading the host's file", fd(open("/etc/passwd", OFlags::RDONLY)));
        refused("making a file elsewhere", fd(open("new", OFlags::CREATE | OFlags::WRONLY)));
        refused("writing what is to be read", fd(open("looked-at/file", OFlags::WRONLY)));
        let moved = renameat_with(&looked_at, "file", &ours, "taken", rustix::fs::RenameFlags::NOREPLACE);
        refused("taking what is to be read", moved.map_err(Error::from));
    }
    let pipe = mknodat(&ours, "pipe", FileType::Fifo, Mode::from_raw_mode(0o644), 0);
    refused("making a pipe", pipe.map_err(Error::from));
    refused("opening the network", TcpListener::bind("127.0.0.1:0").map(drop));
    refused("making a socket", UnixListener::bind("ours/socket").map(drop));
    refused("starting a program", Command::new("/bin/true").spawn().map(drop));
    refused("looking into a process", Err(crate::sys::testing::ptrace_parent()));
    refused("becoming another program", Err(crate::sys::testing::execve_self()));
    refused("making code", Err(crate::sys::testing::map_code()));
    refused("killing another process", Err(crate::sys::testing::kill_parent()));
    println!("was confined");
}

fn inside() {
    let shared: OwnedFd = File::open("shared").unwrap().into();
    let mine: OwnedFd = File::options().read(true).write(true).open("mine").unwrap().into();
    confine(&Needs { read: &[&shared], write: &[&mine], file_size: 10, memory: 64 << 20 }).unwrap();

    // What a VMM does.
    std::thread::spawn(|| ()).join().unwrap();
    File::open("shared").unwrap();
    let file = File::options().read(true).write(true).open("mine").unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"abc", 3).unwrap();
    let listener = UnixListener::bind("socket").unwrap();
    drop(listener);
    if std::path::Path::new("/dev/kvm").exists() {
        kvm_ioctls::Kvm::new().unwrap().create_vm().unwrap();
    }

    // What it does not.
    let landlock = crate::sys::landlock_version() > 0;
    let refused = |what: &str, error: Error| {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
    };
    if landlock {
        refused("reading another file", File::open("other").unwrap_err());
        refused("reading the host's file", File::open("/etc/passwd").unwrap_err());
        refused("listing a folder", std::fs::read_dir(".").unwrap_err());
        refused("writing a shared file", File::options().write(true).open("shared").unwrap_err());
    }
    refused("making a file", File::create_new("new").unwrap_err());
    refused("removing a file", std::fs::remove_file("other").unwrap_err());
    refused("renaming a file", std::fs::rename("other", "mine").unwrap_err());
    refused("making a folder", std::fs::create_dir("folder").unwrap_err());
    refused("opening the network", TcpListener::bind("127.0.0.1:0").unwrap_err());
    refused("reaching a service of the host", UnixStream::connect("socket").unwrap_err());
    refused("starting a program", Command::new("/bin/true").spawn().unwrap_err());
    refused("looking into a process", crate::sys::testing::ptrace_parent());
    refused("becoming another program", crate::sys::testing::execve_self());
    refused("making code", crate::sys::testing::map_code());
    refused("killing another process", crate::sys::testing::kill_parent());
    println!("was confined");
}
