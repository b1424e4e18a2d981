//! Which VMM and accelerator a box gets on this host.
//!
//! A `/dev/kvm` that exists is not a KVM that works, so software emulation is what `auto` means until a
//! machine has shown that it runs guests; `--accel kvm` takes the user's word for it.

use a3s_box_core::{Accel, AccelChoice, BoxConfig, BoxError, ErrorKind, Result, Vmm};
use std::path::{Path, PathBuf};

/// The QEMU program for guests of this host's architecture.
pub(crate) const QEMU: &str =
    if cfg!(target_arch = "aarch64") { "qemu-system-aarch64" } else { "qemu-system-x86_64" };

/// What runs a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) vmm: Vmm,
    pub(crate) accel: Accel,
}

/// Settles what runs a box that was asked for as `config`.
pub(crate) fn choose(config: &BoxConfig) -> Result<Machine> {
    let accel = match config.accel {
        AccelChoice::Auto | AccelChoice::Tcg => Accel::Tcg,
        AccelChoice::Kvm => kvm()?,
        AccelChoice::Hvf if cfg!(target_os = "macos") => Accel::Hvf,
        AccelChoice::Hvf => {
            return Err(BoxError::new(
                ErrorKind::Unsupported,
                "accelerator hvf is Apple's, and this is not macOS",
            )
            .with_hint("leave --accel out, or ask for tcg"));
        }
    };
    find_qemu()?;
    Ok(Machine { vmm: Vmm::Qemu, accel })
}

/// Where QEMU is.
pub(crate) fn find_qemu() -> Result<PathBuf> {
    let named = std::env::var_os("A3S_BOX_QEMU").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = named.map_or_else(
        || std::env::split_paths(&path).map(|dir| dir.join(QEMU)).collect(),
        |named| vec![named],
    );
    places.retain(|file| file.is_file());
    places.into_iter().next().ok_or_else(|| {
        BoxError::new(ErrorKind::NotFound, format!("no VMM: {QEMU} is not installed")).with_hint(
            "install it, on Debian with `apt-get install qemu-system-x86`, or name it in A3S_BOX_QEMU",
        )
    })
}

/// KVM, if this user may open it.
fn kvm() -> Result<Accel> {
    let device = Path::new("/dev/kvm");
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => Ok(Accel::Kvm),
        Err(e) => Err(BoxError::io("accelerator kvm is not usable: cannot open /dev/kvm", e)
            .with_hint("add yourself to group kvm, or leave --accel out for software emulation")),
    }
}

/// How long a guest may take until its process runs, where the user does not say.
pub(crate) fn boot_timeout_ms(config: &BoxConfig, accel: Accel) -> u64 {
    let default = match accel {
        Accel::Kvm | Accel::Hvf => 15,
        // Emulation on a loaded host is ten times slower than on an idle one.
        Accel::Tcg => 90,
    };
    u64::from(config.boot_timeout.unwrap_or(default)) * 1000
}
