//! Programs that the tests compare with, and the folders they work in.

use a3s_box_image::{ImageStore, RootfsCache};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// Runs `program`, which must succeed; a missing one is named.
pub fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("this test needs `{program}` ({e}); `cargo xtask test` installs it"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    output
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A host's folders: a store, a cache, and room for the test's own files.
pub struct Home {
    pub dir: TempDir,
    pub store: ImageStore,
    pub rootfs: RootfsCache,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path().join("images")).unwrap();
        let rootfs = RootfsCache::open(dir.path().join("rootfs")).unwrap();
        Self { dir, store, rootfs }
    }

    /// A path of the test's own.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The names in the store's blob folder and in the rootfs folder, lock files aside.
    pub fn leftovers(&self) -> Vec<String> {
        let mut names = Vec::new();
        for dir in ["images", "images/blobs/sha256", "rootfs"] {
            for entry in std::fs::read_dir(self.path(dir)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let kept = ["oci-layout", "blobs", "index.json", "index.lock", "blobs.lock"];
                if !kept.contains(&name.as_str()) && !name.starts_with(".lock-") {
                    names.push(format!("{dir}/{name}"));
                }
            }
        }
        names.sort();
        names
    }
}
