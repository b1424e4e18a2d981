//! Kernels and initramfs archives of a test's own, in folders as `A3S_BOX_KERNEL_DIR` names them.

use super::{Home, given};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// An init that never opens the agent's port.
const HANGS: &str = "d=$(mktemp -d); cd $d; mkdir bin; cp /bin/busybox bin/sh; ln -s sh bin/sleep; \
    printf '#!/bin/sh\nexec sleep 100000\n' > init; chmod 755 init; \
    find . | cpio -o -H newc --quiet > \"$1\"; rm -r $d";

impl Home {
    /// The kernel and the initramfs that boxes get.
    pub fn guest(&self) -> (Vec<u8>, Vec<u8>) {
        let installed = given("A3S_TEST_PROGRAMS").join("kernel");
        let read = |name: &str| fs::read(installed.join(name)).unwrap();
        (read(self.kernel().file()), read("initramfs.cpio"))
    }

    /// A folder with this kernel and initramfs.
    pub fn guest_files(&self, name: &str, kernel: &[u8], initramfs: &[u8]) -> PathBuf {
        let dir = self.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(self.kernel().file()), kernel).unwrap();
        fs::write(dir.join("initramfs.cpio"), initramfs).unwrap();
        dir
    }

    /// The folder of a guest that boots and never comes up.
    pub fn hanging_guest(&self) -> PathBuf {
        let archive = self.path().join("hang.cpio");
        let made = Command::new("sh").args(["-euc", HANGS, "sh"]).arg(&archive).status().unwrap();
        assert!(made.success());
        self.guest_files("hangs", &self.guest().0, &fs::read(&archive).unwrap())
    }
}
