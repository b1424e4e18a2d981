//! libkrun's C interface.
#![allow(unsafe_code, reason = "libkrun takes C strings")]

use std::ffi::{CStr, CString};

/// What the shared folder is called in the guest.
const FOLDER: &CStr = c"folder";

/// What is to run.
#[derive(Default)]
pub(crate) struct Guest {
    pub(crate) memory_mib: u32,
    pub(crate) kernel: String,
    pub(crate) initramfs: String,
    pub(crate) command_line: String,
    pub(crate) disks: Vec<Disk>,
    pub(crate) network: Option<Network>,
    /// A vsock port, and the socket that the guest's connections to it go to.
    pub(crate) port: Option<(u32, String)>,
    /// A folder to share by virtio-fs.
    pub(crate) folder: Option<String>,
}

/// A network device.
pub(crate) struct Network {
    /// The descriptor of the stream that carries its frames.
    pub(crate) stream: i32,
    /// Its link address.
    pub(crate) mac: [u8; 6],
}

/// A raw disk, whose flushes go nowhere.
pub(crate) struct Disk {
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

/// Runs a guest. libkrun ends the process with it; what comes back is what kept it from running.
pub(crate) fn enter(guest: &Guest) -> String {
    match start(guest) {
        Ok(()) => "libkrun came back".to_owned(),
        Err(what) => format!("libkrun refuses the {what}"),
    }
}

fn start(guest: &Guest) -> Result<(), &'static str> {
    let text = |s: &str| CString::new(s).map_err(|_| "text");
    let (kernel, initramfs, command_line) =
        (text(&guest.kernel)?, text(&guest.initramfs)?, text(&guest.command_line)?);
    let done = |what, code: i32| if code < 0 { Err(what) } else { Ok(code) };

    let context = u32::try_from(krun::krun_create_ctx()).map_err(|_| "context")?;
    done("vCPUs and memory", krun::krun_set_vm_config(context, 1, guest.memory_mib))?;
    done("init", krun::krun_disable_implicit_init(context))?;
    done("console", krun::krun_disable_implicit_console(context))?;
    done("vsock", krun::krun_disable_implicit_vsock(context))?;
    done("vsock", krun::krun_add_vsock(context, 0))?;
    let elf = u32::from(cfg!(target_arch = "x86_64"));
    // SAFETY: the strings end in NUL and live through the call, as in all calls below.
    done("kernel", unsafe {
        krun::krun_set_kernel(context, kernel.as_ptr(), elf, initramfs.as_ptr(), command_line.as_ptr())
    })?;
    for (number, disk) in guest.disks.iter().enumerate() {
        let (id, path) = (text(&format!("disk{number}"))?, text(&disk.path)?);
        // SAFETY: as above.
        done("disk", unsafe {
            krun::krun_add_disk3(context, id.as_ptr(), path.as_ptr(), 0, disk.read_only, false, 0)
        })?;
    }
    if let Some(Network { stream, mac }) = &guest.network {
        // SAFETY: there is no path, the link address has its six bytes, and whoever named the descriptor left it to us.
        done("network", unsafe {
            krun::krun_add_net_unixstream(context, std::ptr::null(), *stream, mac.as_ptr(), 0, 0)
        })?;
    }
    if let Some((number, socket)) = &guest.port {
        let socket = text(socket)?;
        // SAFETY: as above.
        done("port", unsafe { krun::krun_add_vsock_port2(context, *number, socket.as_ptr(), false) })?;
    }
    if let Some(folder) = &guest.folder {
        let folder = text(folder)?;
        // SAFETY: as above.
        done("folder", unsafe { krun::krun_add_virtiofs(context, FOLDER.as_ptr(), folder.as_ptr()) })?;
    }
    // SAFETY: standard output is open, and nobody else in this process uses it.
    done("serial console", unsafe { krun::krun_add_serial_console_default(context, -1, 1) })?;
    done("start", krun::krun_start_enter(context)).map(drop)
}
