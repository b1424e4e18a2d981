//! Pulling an image from a registry on loopback until it can run, against skopeo with umoci, and podman; and what a
//! store of a thousand images costs.

use super::{median, ratio, report};
use crate::step::{cargo, quietly, run as shown, step};
use crate::{packages, places};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LAYERS: usize = 6;
/// Unpacked bytes of a layer: 300 MB in all.
const LAYER: u64 = 50_000_000;
/// Images in the store that is listed.
const MANY: usize = 1000;

pub(super) fn run(rounds: usize) -> Result<()> {
    packages::install(&[packages::RUN, packages::TEST, packages::BENCH])?;
    step("programs", || shown(cargo().args(["build", "--quiet", "--release", "-p", "a3s-box-cli"])))?;
    let program = places::target().join("release/a3s-box");
    let dir = tempfile::tempdir()?;
    let layout = step("an image of six layers", || image(dir.path()))?;
    let registry = Registry::start(dir.path())?;
    let name = format!("{}/bench:latest", registry.host);
    let (from, to) = (format!("oci:{}:latest", layout.display()), format!("docker://{name}"));
    quietly(Command::new("skopeo").args(["copy", "-q", "--dest-tls-verify=false", &from, &to]))?;

    let mut pulls = Pulls { dir: dir.path(), program: &program, name: &name, memory: 0 };
    let (mut ours, mut skopeo, mut podman, mut gzip) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    step(&format!("{rounds} rounds"), || {
        for round in 0..=rounds {
            let took = [pulls.ours()?, pulls.skopeo()?, pulls.podman()?, decompression(&layout)?];
            if round > 0 {
                for (times, took) in [&mut ours, &mut skopeo, &mut podman, &mut gzip].into_iter().zip(took) {
                    times.push(took);
                }
            }
        }
        Ok(())
    })?;
    let (ours, skopeo, podman, gzip) = (median(&ours), median(&skopeo), median(&podman), median(&gzip));
    let listed = step(&format!("a store of {MANY} images"), || listing(dir.path(), &program, rounds))?;
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
    let body = format!(
        "`a3s-box pull` of an image of {LAYERS} gzip layers, {} MB unpacked, from Debian's docker-registry on loopback \
         into an empty store: layers verified and kept, the rootfs image built, ready to run. Against \
         `skopeo copy` to an OCI layout with `umoci unpack`, against `podman pull` with its default driver, and against \
         `gzip -dc` of the layers alone. Medians of {rounds}.\n\n\
         | what | time | a3s-box against it | at most |\n|---|---|---|---|\n\
         | a3s-box pull | {} | | |\n\
         | skopeo copy + umoci unpack | {} | {:.2} | 0.50 |\n\
         | podman pull | {} | {:.2} | 0.70 |\n\
         | gzip -dc, nothing else | {} | {:.2} | 1.25 |\n\n\
         Largest private memory of `a3s-box pull`: {} MiB (at most 150). `a3s-box images` with {MANY} images: {} (at \
         most 50 ms).",
        LAYERS as u64 * LAYER / 1_000_000,
        ms(ours),
        ms(skopeo),
        ratio(ours, skopeo),
        ms(podman),
        ratio(ours, podman),
        ms(gzip),
        ratio(ours, gzip),
        pulls.memory >> 10,
        ms(listed),
    );
    report::write("Pull", "cargo xtask bench image", &body)
}

/// The ways to pull, each into folders that are empty and on a disk that is at rest.
struct Pulls<'a> {
    dir: &'a Path,
    program: &'a Path,
    name: &'a str,
    /// The largest private memory of ours that was seen, in KiB.
    memory: u64,
}

impl Pulls<'_> {
    fn empty(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        rustix::fs::sync();
        Ok(dir)
    }

    fn ours(&mut self) -> Result<Duration> {
        let home = self.empty("home")?;
        let begin = Instant::now();
        let mut child = Command::new(self.program)
            .args(["pull", "--quiet", self.name])
            .env("A3S_HOME", &home)
            .stdout(Stdio::null())
            .spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let watch = thread::spawn(move || {
            let mut most = 0;
            while let Ok(text) = fs::read_to_string(&status) {
                let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
                let Some(line) = line else { break };
                most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
                thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let ended = child.wait()?;
        let took = begin.elapsed();
        ensure!(ended.success(), "a3s-box pull: {ended}");
        self.memory = self.memory.max(watch.join().unwrap_or(0));
        Ok(took)
    }

    fn skopeo(&self) -> Result<Duration> {
        let (layout, bundle) = (self.empty("layout")?, self.empty("bundle")?);
        let begin = Instant::now();
        let (from, to) = (format!("docker://{}", self.name), format!("oci:{}:x", layout.display()));
        quietly(Command::new("skopeo").args(["copy", "-q", "--src-tls-verify=false", &from, &to]))?;
        quietly(
            Command::new("umoci")
                .args(["unpack", "--image", &format!("{}:x", layout.display())])
                .arg(&bundle),
        )?;
        Ok(begin.elapsed())
    }

    fn podman(&self) -> Result<Duration> {
        let (root, runroot) = (self.empty("podman")?, self.empty("podman-run")?);
        let begin = Instant::now();
        quietly(Command::new("podman").arg("--root").arg(&root).arg("--runroot").arg(&runroot).args([
            "pull",
            "-q",
            "--tls-verify=false",
            self.name,
        ]))?;
        Ok(begin.elapsed())
    }
}

fn decompression(layout: &Path) -> Result<Duration> {
    let mut layers: Vec<PathBuf> =
        fs::read_dir(layout.join("blobs/sha256"))?.flatten().map(|entry| entry.path()).collect();
    layers.retain(|path| fs::metadata(path).is_ok_and(|data| data.len() > 1 << 20));
    let begin = Instant::now();
    let mut gzip = Command::new("gzip");
    gzip.arg("-dc").args(&layers).stdout(Stdio::null()).stdin(Stdio::null());
    ensure!(gzip.status()?.success(), "gzip failed");
    Ok(begin.elapsed())
}

/// A layout with an image whose layers are what this system has below /usr, so that they pack as software does.
fn image(dir: &Path) -> Result<PathBuf> {
    let layout = dir.join("image");
    let image = format!("{}:latest", layout.display());
    quietly(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
    quietly(Command::new("umoci").args(["new", "--image", &image]))?;
    let mut files = files(Path::new("/usr"))?.into_iter();
    for layer in 0..LAYERS {
        let (list, tar) = (dir.join("list"), dir.join(format!("{layer}.tar")));
        let (mut bytes, mut names) = (0, File::create(&list)?);
        while bytes < LAYER {
            let (path, size) = files.next().context("this system has less than 300 MB in /usr")?;
            writeln!(names, "{}", path.display())?;
            bytes += size;
        }
        quietly(Command::new("tar").args(["-C", "/", "-cf"]).arg(&tar).arg("-T").arg(&list))?;
        quietly(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&tar))?;
        fs::remove_file(&tar)?;
    }
    Ok(layout)
}

/// The files below `dir` and their sizes, in the order of their names.
fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)?.flatten() {
            let (path, data) = (entry.path(), entry.metadata()?);
            if data.is_dir() {
                folders.push(path);
            } else if data.is_file() && data.len() < LAYER && !path.to_string_lossy().contains('\n') {
                found.push((path, data.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// How long `a3s-box images` takes in a store of many images.
fn listing(dir: &Path, program: &Path, rounds: usize) -> Result<Duration> {
    let home = dir.join("many");
    let blobs = home.join("images/blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |content: String| -> Result<(String, usize)> {
        let hex: String =
            Sha256::digest(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&hex), &content)?;
        Ok((format!("sha256:{hex}"), content.len()))
    };
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let mut entries = Vec::new();
    for number in 0..MANY {
        let (config, size) = put(serde_json::json!({"os": "linux", "architecture": architecture,
            "created": "2024-01-01T00:00:00Z", "config": {"Labels": {"number": number.to_string()}},
            "rootfs": {"type": "layers", "diff_ids": []}})
        .to_string())?;
        let (manifest, length) = put(serde_json::json!({"schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size}})
            .to_string())?;
        entries.push(serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest, "size": length,
            "annotations": {"org.opencontainers.image.ref.name": format!("docker.io/library/image-{number}:latest")}}));
    }
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string();
    fs::write(home.join("images/index.json"), index)?;
    let mut times = Vec::new();
    for _ in 0..rounds.max(5) {
        let begin = Instant::now();
        let listed = quietly(Command::new(program).arg("images").env("A3S_HOME", &home))?;
        times.push(begin.elapsed());
        ensure!(listed.lines().count() == MANY + 1, "{} lines", listed.lines().count());
    }
    Ok(median(&times))
}

/// Debian's docker-registry on a port of its own.
struct Registry {
    host: String,
    child: Child,
}

impl Registry {
    fn start(dir: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        let config = dir.join("registry.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '{host}'}}\n\
                 storage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
                dir.join("registry").display()
            ),
        )?;
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run docker-registry")?;
        let mut log = BufReader::new(child.stderr.take().context("no log")?).lines();
        let ready = log.by_ref().map_while(Result::ok).any(|line| line.contains("listening on"));
        // Read to its end, so that the registry never waits for room in the pipe.
        thread::spawn(move || log.for_each(drop));
        ensure!(ready, "docker-registry did not come up");
        Ok(Self { host, child })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
