//! Bind mounts: folders and files of the host in a box, seen from both ends.

use crate::harness::{Home, eventually};
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of the host that a test shares with boxes; not within its state directory, which no box may have.
struct Shared(tempfile::TempDir);

impl Shared {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("a3s-shared-").tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// What `-v` takes.
    fn to(&self, target: &str) -> String {
        format!("{}:{target}", self.0.path().display())
    }
}

fn run(home: &Home, options: &[&str], script: &str) -> String {
    let args = [&["run", "--rm"][..], options, &["busybox", "sh", "-c", script]].concat();
    home.a3s(&args).run().ok()
}

/// Digests of all files below a folder, as `sha256sum` prints them.
fn digests(folder: &Path) -> String {
    let script = "cd \"$1\" && find . -type f | sort | xargs sha256sum";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_folder_is_the_same_at_both_ends() {
    let (home, shared) = (Home::new(), Shared::new());
    shared.write("from-host", "hello");
    shared.write("script", "#!/bin/sh\necho ran $1\n");
    fs::set_permissions(shared.at("script"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir(shared.at("tree")).unwrap();
    for n in 0..200 {
        shared.write(&format!("tree/{n}"), &"x".repeat(n * 50));
    }
    home.start("b", &["-v", &shared.to("/src/deep"), "-w", "/src/deep"], "cat from-host; echo; sleep 100000");
    home.await_log("b", "hello");

    // What one end writes, the other reads.
    let script = "./script it; mkdir new; echo made > new/file; ln -s ../from-host new/link; ln new/file new/hard; \
                  cat new/link; echo; mv new/file new/moved; stat -c '%a %h' new/moved; echo more >> from-host; \
                  dd if=/dev/zero of=sparse bs=1 count=1 seek=10000000 2>/dev/null; truncate -s 5 new/moved; \
                  touch -d '2001-02-03 04:05:06' new/moved; rm new/hard; ls new | tr '\\n' ' '";
    assert_eq!(home.exec("b", script), "ran it\nhello\n644 2\nlink moved ");
    assert_eq!(shared.read("new/moved"), "made\n");
    assert_eq!(shared.read("from-host"), "hellomore\n");
    assert_eq!(fs::read_link(shared.at("new/link")).unwrap(), Path::new("../from-host"));
    let moved = fs::metadata(shared.at("new/moved")).unwrap();
    assert_eq!((moved.uid(), moved.gid()), (geteuid().as_raw(), getegid().as_raw()));
    assert_eq!(moved.mtime(), 981_173_106);
    assert_eq!(fs::metadata(shared.at("sparse")).unwrap().len(), 10_000_001);

    // A change on the host is seen a second later, in a file that is open and cached, too.
    shared.write("from-host", "changed, and longer than before");
    shared.write("tree/fresh", "");
    eventually("the host's change", || {
        (home.exec("b", "cat from-host") == shared.read("from-host")).then_some(())
    });
    eventually("the host's new file", || {
        home.exec("b", "ls tree | grep -c fresh; true").eq("1").then_some(())
    });

    // Open files outlive their names, and trees survive the trip both ways.
    let script = "exec 3<from-host; rm from-host; cat <&3; echo; ls from-host 2>/dev/null; df . | awk 'NR > 1 { print $1, $6 }'";
    assert_eq!(home.exec("b", script), "changed, and longer than before\nhost /src/deep");
    assert!(!shared.at("from-host").exists());
    let inside = home.exec("b", "cd tree && find . -type f | sort | xargs sha256sum");
    assert_eq!(inside, digests(&shared.at("tree")));
    home.exec("b", "tar c tree | tar x -o -C new && rm -r tree");
    assert_eq!(digests(&shared.at("new/tree")), inside);
    assert!(!shared.at("tree").exists());

    let docker = home.a3s(&["inspect", "-f", "{{json .Mounts}}", "b"]).run().ok();
    let mounts: serde_json::Value = serde_json::from_str(&docker).unwrap();
    assert_eq!(mounts[0]["Type"], "bind");
    assert_eq!(mounts[0]["Source"], shared.0.path().display().to_string());
    assert_eq!((&mounts[0]["Destination"], &mounts[0]["RW"]), (&"/src/deep".into(), &true.into()));
    // `cp` goes through the mount as through any other part of the box.
    home.a3s(&["cp", &shared.at("script").display().to_string(), "b:/src/deep/copied"]).run().ok();
    assert_eq!(shared.read("copied"), shared.read("script"));
    home.a3s(&["stop", "-t", "0", "b"]).run().ok();
    fs::rename(shared.0.path(), shared.0.path().with_extension("gone")).unwrap();
    home.a3s(&["start", "b"]).run().refused(&["there is nothing at", &shared.0.path().display().to_string()]);
    fs::rename(shared.0.path().with_extension("gone"), shared.0.path()).unwrap();
}

#[test]
fn files_belong_to_the_boxs_user_and_to_the_hosts() {
    let (home, shared) = (Home::new(), Shared::new());
    shared.write("mine", "");
    fs::set_permissions(shared.at("mine"), PermissionsExt::from_mode(0o600)).unwrap();
    let script = "stat -c '%u %g' /s /s/mine; echo x > /s/mine; touch /s/new; stat -c '%u:%g' /s/new; \
                  chown $(id -u):$(id -g) /s/new && echo same; chown 4242 /s/new 2>/dev/null || echo other; \
                  cp /bin/busybox /s/busybox-set && chmod 6755 /s/busybox-set; stat -c %a /s/busybox-set; /s/busybox-set echo runs; mknod /s/null c 1 3 2>/dev/null || echo no device; \
                  mkfifo /s/pipe 2>/dev/null || echo no pipe";
    let rest = "same\nother\n755\nruns\nno device\nno pipe";
    let to = shared.to("/s");
    assert_eq!(
        run(&home, &["-v", &to, "-u", "app"], script),
        format!("1000 1000\n1000 1000\n1000:1000\n{rest}")
    );
    assert_eq!(run(&home, &["-v", &to], script), format!("0 0\n0 0\n0:0\n{rest}"));
    for name in ["new", "busybox-set", "mine"] {
        let data = fs::metadata(shared.at(name)).unwrap();
        assert_eq!((data.uid(), data.gid()), (geteuid().as_raw(), getegid().as_raw()), "{name}");
        assert_eq!(data.mode() & 0o6000, 0);
    }
    // Whom the box does not run as is whom the modes say.
    let script = "su app -c 'cat /s/mine' 2>/dev/null || echo kept out";
    assert_eq!(run(&home, &["-v", &to], script), "kept out");
}

#[test]
fn single_files_and_many_mounts_and_reading_only() {
    let (home, shared) = (Home::new(), Shared::new());
    shared.write("conf", "one\n");
    shared.write("hosts", "192.0.2.1 mounted\n");
    let conf = format!("{}:/etc/new/conf.toml", shared.at("conf").display());
    let hosts = format!("type=bind,source={},target=/etc/hosts,readonly", shared.at("hosts").display());
    let ro = format!("{}:ro", shared.to("/ro"));
    let made = format!("{}:/made", shared.at("not/there/yet").display());
    let options = ["-v", &conf, "--mount", &hosts, "-v", &ro, "-v", &made, "--init", "--read-only"];
    let script = "cat /etc/new/conf.toml; echo two >> /etc/new/conf.toml; cat /etc/hosts; \
                  for f in /etc/hosts /ro/conf /ro/x; do echo x 2>&1 >> $f | sed 's/.*: //'; done; \
                  rm /ro/conf 2>&1 | sed 's/.*: //'; mount -o remount,rw /ro 2>/dev/null; touch /ro/y 2>/dev/null || echo kept; \
                  echo made > /made/f; ls /made";
    assert_eq!(
        run(&home, &options, script),
        "one\n192.0.2.1 mounted\nRead-only file system\nRead-only file system\nRead-only file system\n\
         Read-only file system\nkept\nf"
    );
    assert_eq!(shared.read("conf"), "one\ntwo\n");
    assert_eq!(shared.read("not/there/yet/f"), "made\n");
    // Relative to where the command is.
    let mut there = Command::new("env");
    there.arg("-C").arg(shared.0.path());
    let here = home.a3s(&["run", "--rm", "-v", "./not:/n", "busybox", "ls", "/n/there"]).through(there);
    assert_eq!(here.run().ok(), "yet");
    let options: Vec<String> =
        (0..16).map(|n| format!("{}:/m/{n}", shared.at(&format!("many{n}")).display())).collect();
    let options: Vec<&str> = options.iter().flat_map(|o| ["-v", o]).collect();
    run(&home, &options, "for n in $(seq 0 15); do echo $n > /m/$n/f; done");
    assert!((0..16).all(|n| shared.read(&format!("many{n}/f")) == format!("{n}\n")));

    let missing = format!("type=bind,src={},dst=/x", shared.at("missing").display());
    let state = format!("{}:/x", home.path().join("boxes").display());
    let twice = shared.to("/same");
    for (options, words) in [
        (["--mount", &missing].to_vec(), ["there is nothing at", "missing"]),
        (["-v", &state].to_vec(), ["state directory", "outside"]),
        (["-v", "/dev/null:/x"].to_vec(), ["/dev/null", "neither a folder nor"]),
        (["-v", "/proc/self:/x"].to_vec(), ["/proc/self", "kernel's"]),
        (["-v", "~/x:/x"].to_vec(), ["~/x", "$HOME"]),
        (
            ["-v", &twice, "-v", &conf.replace("/etc/new/conf.toml", "/same")].to_vec(),
            ["two file systems", "/same"],
        ),
        ([&options[..], &["-v", "/tmp:/one-more"]].concat(), ["17 folders", "at most 16"]),
    ] {
        home.a3s(&[&["create"][..], &options, &["busybox"]].concat()).run().refused(&words);
    }
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok(), "");
    assert!(!home.path().join("boxes/made-by-mount").exists());
}

#[test]
fn no_box_gets_out_of_its_folder() {
    let (home, shared) = (Home::new(), Shared::new());
    fs::create_dir(shared.at("in")).unwrap();
    shared.write("secret", "secret");
    // What links of the host's mean is the box's own; a pipe of the host's holds nobody up.
    symlink(shared.at("secret"), shared.at("in/absolute")).unwrap();
    symlink("../secret", shared.at("in/relative")).unwrap();
    symlink("/proc/self/root/etc/passwd", shared.at("in/magic")).unwrap();
    let pipe = shared.at("in/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let to = format!("{}:/in", shared.at("in").display());
    let script = "for l in absolute relative; do cat /in/$l 2>&1 | sed 's/.*: //'; done; \
                  grep -c ^app: /in/magic; ls /in/.. | grep -c '^bin$'; \
                  ln -s / /in/root; ls /in/root/etc/passwd; \
                  i=0; while [ $i -lt 30 ]; do mkdir /in/d; cat /in/d/secret 2>/dev/null; rmdir /in/d; ln -s .. /in/d; \
                  cat /in/d/secret 2>/dev/null; rm /in/d; i=$((i+1)); done; \
                  mkdir /in/e; cd /in/e; mv /in/e /moved 2>/dev/null; cat ../../secret 2>/dev/null || echo kept in";
    let out = run(&home, &["-v", &to], script);
    assert_eq!(
        out,
        "No such file or directory\nNo such file or directory\n1\n1\n/in/root/etc/passwd\nkept in"
    );
    assert_eq!(shared.read("secret"), "secret");
    // A swap on the host's side while the box looks.
    fs::create_dir(shared.at("in/swap")).unwrap();
    home.start("swapped", &["-v", &to], "cd /in; echo up; while :; do cat swap/secret; done 2>/dev/null");
    home.await_log("swapped", "up");
    for _ in 0..300 {
        fs::rename(shared.at("in/swap"), shared.at("in/kept")).unwrap();
        symlink(shared.0.path(), shared.at("in/swap")).unwrap();
        fs::remove_file(shared.at("in/swap")).unwrap();
        fs::rename(shared.at("in/kept"), shared.at("in/swap")).unwrap();
    }
    home.a3s(&["kill", "swapped"]).run().ok();
    home.a3s(&["wait", "swapped"]).run();
    assert_eq!(home.a3s(&["logs", "swapped"]).run().ok(), "up");
}

/// The file server of a box: the shim's child of that name.
fn server(home: &Home, name: &str) -> Pid {
    let shim = format!("PPid:\t{}\n", home.pid(name, "shim").unwrap());
    let is = |pid: &i32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("cmdline").starts_with(b"a3s-box-files\0")
            && String::from_utf8_lossy(&read("status")).contains(&shim)
    };
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let found = names.filter_map(|name| name.to_str()?.parse().ok()).find(is);
    Pid::from_raw(found.expect("a file server")).unwrap()
}

#[test]
fn a_file_server_that_dies_takes_nothing_but_its_files_along() {
    let (home, shared) = (Home::new(), Shared::new());
    shared.write("f", "x");
    let script =
        "exec 3>/s/open; echo up; while cat /s/f >/dev/null 2>&1; do :; done; echo lost; sleep 100000";
    home.start("b", &["-v", &shared.to("/s"), "--init"], script);
    home.await_log("b", "up");
    kill_process(server(&home, "b"), Signal::KILL).unwrap();
    home.await_log("b", "lost");
    let told = home.a3s(&["exec", "b", "sh", "-c", "ls /s 2>&1; echo still here"]).run().ok();
    assert!(told.contains("not connected") && told.ends_with("still here"), "{told}");
    home.a3s(&["stop", "-t", "0", "b"]).run().ok();
    // The next run has a server of its own.
    home.a3s(&["start", "b"]).run().ok();
    assert_eq!(home.exec("b", "cat /s/f"), "x");

    // One that hangs holds up whoever asks, and not the end of the box.
    kill_process(server(&home, "b"), Signal::STOP).unwrap();
    home.exec("b", "cat /s/nothing 2>/dev/null & sleep 0.2; echo not held up");
    home.a3s(&["stop", "-t", "1", "b"]).run().ok();

    // It goes with its shim.
    home.a3s(&["start", "b"]).run().ok();
    assert_eq!(home.exec("b", "cat /s/f"), "x");
    let orphan = server(&home, "b");
    kill_process(Pid::from_raw(home.pid("b", "shim").unwrap()).unwrap(), Signal::KILL).unwrap();
    let words = format!("/proc/{}/cmdline", orphan.as_raw_nonzero());
    eventually("an end of the file server", || {
        (!fs::read(&words).unwrap_or_default().starts_with(b"a3s-box-files")).then_some(())
    });
    home.a3s(&["rm", "-f", "b"]).run().ok();
    home.await_quiet();
}
