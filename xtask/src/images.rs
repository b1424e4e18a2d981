//! The images that the demo and the tests run: OCI layouts made from Debian packages, with Debian's tools.

use crate::places;
use crate::step::{quietly, step};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const BUSYBOX: &str = "/bin/busybox";

/// The release that the Debian image holds.
const SUITE: &str = "bookworm";

/// What is done to the Debian image so that it holds one of everything that a file system can hold. The
/// fixture's names go beyond ASCII, and its deepest path has some 860 bytes.
const DEBIAN_FIXTURE: &str = r#"
set -eu
root=$1
mkdir -p "$root/fixture"
cd "$root/fixture"
echo data > file; chmod 0640 file; chown 1234:4321 file
ln file hard-1; ln file hard-2
ln -s file sym; ln -s /nowhere/at/all dangling
mkfifo fifo
mknod null c 1 3; mknod loop b 7 0; chmod 0666 null
echo '#!/bin/sh' > setuid; chmod 4755 setuid
echo '#!/bin/sh' > setgid; chmod 2755 setgid
cp "$root/usr/bin/id" suid-id; chmod 4755 suid-id
mkdir sticky; chmod 1777 sticky
cp /bin/true capable; setcap cap_net_raw,cap_net_bind_service+ep capable
echo x > attributed; setfattr -n user.colour -v blue attributed
mkdir 'naïve café' '日本語'; echo y > '日本語/файл'
printf z > "$(printf 'odd\nname\t\\')"
deep=.; i=0
while [ $i -lt 40 ]; do deep="$deep/directory-number-$i"; i=$((i + 1)); done
mkdir -p "$deep"; echo deep > "$deep/end"
truncate -s 64M sparse; echo tail >> sparse
i=0; mkdir many; while [ $i -lt 2000 ]; do : > "many/$i"; i=$((i + 1)); done
"#;

/// The smallest image: a static busybox, with two users.
pub(crate) fn busybox() -> Result<PathBuf> {
    let program = fs::read(BUSYBOX).with_context(|| format!("cannot read {BUSYBOX}"))?;
    made("busybox", &[&program], |layout, work| {
        let root = work.join("root");
        for dir in ["bin", "etc", "home/app", "root", "tmp", "var"] {
            fs::create_dir_all(root.join(dir))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::write(root.join("bin/busybox"), &program)?;
        fs::set_permissions(root.join("bin/busybox"), fs::Permissions::from_mode(0o755))?;
        for applet in quietly(Command::new(BUSYBOX).arg("--list"))?.lines().filter(|a| *a != "busybox") {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd)?;
        fs::write(root.join("etc/group"), "root:x:0:\napp:x:1000:\nextra:x:2000:app\n")?;
        let tar = work.join("root.tar");
        quietly(
            Command::new("tar")
                .args(["--numeric-owner", "--owner=0", "--group=0", "--sort=name", "-C"])
                .arg(&root)
                .arg("-cf")
                .arg(&tar)
                .arg("."),
        )?;
        one_layer(layout, &tar, &["--config.cmd", "sh", "--config.env", "PATH=/usr/bin:/bin"])
    })
}

/// One static program, and nothing else: no `/etc`, no shell, no `/tmp`.
pub(crate) fn scratch() -> Result<PathBuf> {
    let program = fs::read(BUSYBOX).with_context(|| format!("cannot read {BUSYBOX}"))?;
    made("scratch", &[&program], |layout, work| {
        fs::write(work.join("busybox"), &program)?;
        fs::set_permissions(work.join("busybox"), fs::Permissions::from_mode(0o755))?;
        let tar = work.join("root.tar");
        quietly(
            Command::new("tar")
                .args(["--numeric-owner", "--owner=0", "--group=0", "-C"])
                .arg(work)
                .arg("-cf")
                .arg(&tar)
                .arg("busybox"),
        )?;
        one_layer(layout, &tar, &["--config.entrypoint", "/busybox"])
    })
}

/// A Debian with python3 and one of everything that a file system can hold. The tar that it was made from
/// lies beside the layout as `debian.tar`.
pub(crate) fn debian() -> Result<PathBuf> {
    made("debian", &[SUITE.as_bytes(), DEBIAN_FIXTURE.as_bytes()], |layout, work| {
        let hook = work.join("fixture.sh");
        fs::write(&hook, DEBIAN_FIXTURE)?;
        let tar = layout.with_extension("tar");
        quietly(
            Command::new("mmdebstrap")
                .args(["--variant=minbase", "--include=python3-minimal", "--aptopt=Acquire::Retries \"3\""])
                .arg(format!("--customize-hook=sh {} \"$1\"", hook.display()))
                .arg(SUITE)
                .arg(&tar),
        )?;
        one_layer(layout, &tar, &["--config.cmd", "bash"])
    })
}

/// A layout whose one layer is `tar`, configured by `config`.
fn one_layer(layout: &Path, tar: &Path, config: &[&str]) -> Result<()> {
    let image = format!("{}:latest", layout.display());
    quietly(Command::new("umoci").args(["init", "--layout"]).arg(layout))?;
    quietly(Command::new("umoci").args(["new", "--image", &image]))?;
    quietly(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(tar))?;
    quietly(Command::new("umoci").args(["config", "--image", &image]).args(config)).map(drop)
}

/// The layout `name` in the cache, made by `make` if it is not there or if what it is made of has changed.
fn made(name: &str, of: &[&[u8]], make: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    hash.update(include_bytes!("images.rs"));
    for part in of {
        hash.update(part);
    }
    let key: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let cache = places::cache("images")?;
    let dir = cache.join(format!("{name}-{key}"));
    if !dir.exists() {
        step(&format!("image {name}"), || {
            let staging = tempfile::tempdir_in(&cache)?;
            let work = tempfile::tempdir_in(&cache)?;
            make(&staging.path().join(name), work.path())?;
            // Published whole; another process that was quicker has made the same.
            match fs::rename(staging.path(), &dir) {
                Err(error) if !dir.exists() => Err(error.into()),
                _ => Ok(()),
            }
        })?;
    }
    Ok(dir.join(name))
}
