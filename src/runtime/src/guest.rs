//! Where the guest's kernel and initramfs, and the shim, are found on this host.

use crate::Home;
use a3s_box_core::{BoxError, ErrorKind, Kernel, Result};
use std::path::PathBuf;

/// What a box boots from.
#[derive(Debug, Clone)]
pub(crate) struct GuestFiles {
    /// The kernel, an ELF `vmlinux`.
    pub(crate) kernel: PathBuf,
    /// The initramfs with the guest init.
    pub(crate) initramfs: PathBuf,
}

impl GuestFiles {
    /// Looks for the kernel of this flavour in `$A3S_BOX_KERNEL_DIR`, the state directory's `kernel/`, `kernel/`
    /// beside this program, and `../lib/a3s-box/kernel/` from there; the first folder that has both files wins.
    pub(crate) fn find(home: &Home, flavor: Kernel) -> Result<Self> {
        let vmlinux = match flavor {
            Kernel::Standard => "vmlinux",
            Kernel::Cpl3 => "vmlinux-cpl3",
        };
        let named = std::env::var_os("A3S_BOX_KERNEL_DIR").map(PathBuf::from);
        let program = program_dir();
        let places: Vec<PathBuf> = named.map_or_else(
            || {
                let beside = program.iter().map(|dir| dir.join("kernel"));
                let installed = program.iter().map(|dir| dir.join("../lib/a3s-box/kernel"));
                std::iter::once(home.kernel()).chain(beside).chain(installed).collect()
            },
            |dir| vec![dir],
        );
        for dir in &places {
            let files = Self { kernel: dir.join(vmlinux), initramfs: dir.join("initramfs.cpio") };
            if files.kernel.is_file() && files.initramfs.is_file() {
                return Ok(files);
            }
        }
        let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        Err(BoxError::new(
            ErrorKind::NotFound,
            format!("no guest kernel: {vmlinux} and initramfs.cpio are not in {}", places.join(" or ")),
        )
        .with_hint("build them with `cargo xtask kernel` and `cargo xtask build`, or set A3S_BOX_KERNEL_DIR"))
    }
}

/// The command line's program: this one, or beside it.
pub(crate) fn command_line() -> Result<PathBuf> {
    let beside = program_dir().map(|dir| dir.join("a3s-box")).filter(|file| file.is_file());
    beside.ok_or_else(|| {
        BoxError::new(ErrorKind::NotFound, "a3s-box is not beside this program, and hooks with a url need it")
            .with_hint("install it into the folder of a3s-box-shim, or let the hook run a program")
    })
}

/// The shim: beside this program, else in `PATH`.
pub(crate) fn shim() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program_dir()
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join("a3s-box-shim"))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            BoxError::new(ErrorKind::NotFound, "a3s-box-shim is neither beside this program nor in PATH")
                .with_hint("install it into the folder of a3s-box")
        })
}

fn program_dir() -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(PathBuf::from)
}
