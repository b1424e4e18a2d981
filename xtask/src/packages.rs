//! The system packages that the project needs, and why.

use crate::step::{quietly, run, step};
use anyhow::{Result, bail};
use std::process::Command;

/// A Debian package, a file that it brings, and what it is for.
pub(crate) struct Package {
    name: &'static str,
    brings: &'static str,
    why: &'static str,
}

const fn package(name: &'static str, brings: &'static str, why: &'static str) -> Package {
    Package { name, brings, why }
}

/// What building and running boxes takes.
pub(crate) const RUN: &[Package] = &[
    package("qemu-system-x86", "/usr/bin/qemu-system-x86_64", "runs MicroVMs"),
    package("e2fsprogs", "/sbin/mkfs.ext4", "formats the writable layer of a box"),
    package("gcc", "/usr/bin/gcc", "compiles the guest kernel, and links"),
    package("libc6-dev", "/usr/include/stdio.h", "links the guest init statically"),
    package("make", "/usr/bin/make", "builds the guest kernel"),
    package("flex", "/usr/bin/flex", "builds the guest kernel's configuration tool"),
    package("bison", "/usr/bin/bison", "builds the guest kernel's configuration tool"),
    package("bc", "/usr/bin/bc", "builds the guest kernel"),
    package("libelf-dev", "/usr/include/libelf.h", "builds the guest kernel"),
    package("xz-utils", "/usr/bin/xz", "unpacks the guest kernel's source"),
    package(
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "verifies the guest kernel's source",
    ),
    package("patch", "/usr/bin/patch", "patches the guest kernel's source"),
    package("cpio", "/usr/bin/cpio", "packs the initramfs"),
    package("busybox-static", "/bin/busybox", "is the demo's and the tests' smallest image"),
    package("umoci", "/usr/bin/umoci", "makes OCI images"),
];

/// What the tests take beyond that.
pub(crate) const TEST: &[Package] = &[
    package("erofs-utils", "/usr/bin/fsck.erofs", "checks rootfs images"),
    package("mmdebstrap", "/usr/bin/mmdebstrap", "makes a Debian image"),
    package("skopeo", "/usr/bin/skopeo", "copies images between formats and to a registry"),
    package("docker-registry", "/usr/bin/docker-registry", "is the registry that tests pull from"),
    package("buildah", "/usr/bin/buildah", "builds and pushes an image that we pull"),
    package("openssl", "/usr/bin/openssl", "makes a test registry's certificates and signatures"),
    package("zstd", "/usr/bin/zstd", "is the peer of our decompression"),
    package("libcap2-bin", "/sbin/setcap", "gives a test image file capabilities"),
    package("iproute2", "/sbin/ip", "lays the network tests' namespaces out"),
    package("iputils-ping", "/bin/ping", "pings through the network"),
    package("dnsmasq-base", "/usr/sbin/dnsmasq", "is the resolver behind the network's DNS"),
    package("bind9-dnsutils", "/usr/bin/dig", "asks the network's DNS"),
    package("nginx-light", "/usr/sbin/nginx", "is the web server that tests reach through the network"),
    package("curl", "/usr/bin/curl", "fetches through the network"),
    package("git", "/usr/bin/git", "clones through the network"),
    package("openssl", "/usr/bin/openssl", "makes the web server's certificate"),
    package("iperf3", "/usr/bin/iperf3", "measures the network"),
    package("passt", "/usr/bin/passt", "is the network's peer in the benchmark"),
    package("zsh", "/usr/bin/zsh", "completes our command lines"),
    package("fish", "/usr/bin/fish", "completes our command lines"),
    package("groff-base", "/usr/bin/groff", "reads our manual pages"),
    package("attr", "/usr/bin/setfattr", "gives a test image extended attributes"),
];

/// What benchmarks compare with.
pub(crate) const BENCH: &[Package] = &[
    package("podman", "/usr/bin/podman", "is the peer of our pull"),
    package("gzip", "/bin/gzip", "is its floor"),
];

/// Installs what is missing of `wanted`.
///
/// # Errors
/// On other systems than Debian's kin the list of what is missing; else those of apt-get.
pub(crate) fn install(wanted: &[&[Package]]) -> Result<()> {
    let missing: Vec<&Package> =
        wanted.iter().copied().flatten().filter(|p| !std::path::Path::new(p.brings).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        eprintln!("    missing: {:<18} {}", package.name, package.why);
    }
    if !std::path::Path::new("/usr/bin/apt-get").exists() {
        bail!("this is not a Debian-like system: install the packages named above, then run this again");
    }
    step("installing system packages with apt-get", || {
        update()?;
        run(apt()
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(missing.iter().map(|p| p.name))
            .stdout(std::process::Stdio::null()))
    })
}

/// Has apt read what packages there are.
pub(crate) fn update() -> Result<()> {
    quietly(apt().args(["update", "-q"])).map(drop)
}

fn apt() -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
