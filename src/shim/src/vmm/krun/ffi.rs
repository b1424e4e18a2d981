//! libkrun's C interface.
#![allow(unsafe_code, reason = "libkrun takes C strings")]

use super::{Guest, INITRD_FD, KERNEL_FD, ROOTFS_FD, SOCKET, UPPER_FD};
use crate::sys;
use a3s_box_agent::AGENT_PORT;
use a3s_box_core::volume_serial;
use std::ffi::{CStr, CString};
use std::io;

/// libkrun.h: `KRUN_KERNEL_FORMAT_*`.
const KERNEL_FORMAT: u32 = if cfg!(target_arch = "x86_64") { 1 } else { 0 };
/// libkrun.h: `KRUN_DISK_FORMAT_RAW`.
const RAW: u32 = 0;
/// libkrun.h: `KRUN_SYNC_NONE` and `KRUN_SYNC_FULL`.
const SYNC: [u32; 2] = [0, 2];
/// libkrun.h: `KRUN_LOG_LEVEL_ERROR`, `KRUN_LOG_STYLE_NEVER`, `KRUN_LOG_OPTION_NO_ENV`.
const LOG: (u32, u32, u32) = (1, 2, 1);

/// libkrun.h: `NET_FEATURE_CSUM`, `NET_FEATURE_HOST_TSO4` and `NET_FEATURE_HOST_TSO6`: the guest may leave checksums
/// blank and segments whole, which nobody looks at.
const OUTWARD: u32 = 1 | 1 << 11 | 1 << 12;
/// `NET_FEATURE_GUEST_CSUM`, `NET_FEATURE_GUEST_TSO4` and `NET_FEATURE_GUEST_TSO6`. What comes to the guest is complete,
/// but only a guest that could be sent whole segments has buffers that our longest frames fit into.
const INWARD: u32 = 1 << 1 | 1 << 7 | 1 << 8;

/// A machine that is ready to run.
pub(super) struct Configured(u32);

/// Describes the machine to libkrun: nothing but what is named here.
pub(super) fn configure(guest: &Guest) -> Result<Configured, String> {
    let text = |s: String| CString::new(s).map_err(|_| "a NUL byte in the machine's description".to_owned());
    let fd = |fd: i32| text(sys::path_of(fd));
    let command_line = text(guest.command_line.clone())?;
    let socket = text(SOCKET.to_owned())?;
    let (kernel, initrd, rootfs, upper) = (fd(KERNEL_FD)?, fd(INITRD_FD)?, fd(ROOTFS_FD)?, fd(UPPER_FD)?);

    // SAFETY: standard error is open, and stays libkrun's to write to.
    let logging = unsafe { krun::krun_init_log(2, LOG.0, LOG.1, LOG.2) };
    check("logging", logging)?;
    let context = krun::krun_create_ctx();
    check("context", context)?;
    let context = u32::try_from(context).map_err(|e| e.to_string())?;
    check("vCPUs and memory", krun::krun_set_vm_config(context, guest.cpus, guest.memory_mib))?;
    check("init", krun::krun_disable_implicit_init(context))?;
    check("console", krun::krun_disable_implicit_console(context))?;
    // The vsock that comes by itself would let the guest open the host's sockets.
    check("vsock", krun::krun_disable_implicit_vsock(context))?;
    check("vsock", krun::krun_add_vsock(context, 0))?;
    // SAFETY: the strings end in NUL and live through the call, as in all calls below.
    check("agent port", unsafe { krun::krun_add_vsock_port2(context, AGENT_PORT, socket.as_ptr(), true) })?;
    // SAFETY: as above.
    check("kernel", unsafe {
        krun::krun_set_kernel(context, kernel.as_ptr(), KERNEL_FORMAT, initrd.as_ptr(), command_line.as_ptr())
    })?;
    let disk = |id: &CStr, path: &CStr, read_only: bool| {
        let sync = SYNC[usize::from(guest.sync)];
        // SAFETY: as above.
        check("disk", unsafe {
            krun::krun_add_disk3(context, id.as_ptr(), path.as_ptr(), RAW, read_only, false, sync)
        })
    };
    disk(c"rootfs", &rootfs, true)?;
    if guest.upper.is_some() {
        disk(c"upper", &upper, false)?;
    }
    let mut next = UPPER_FD + i32::from(guest.upper.is_some());
    for (index, size) in guest.volumes.iter().enumerate() {
        disk(&text(volume_serial(index))?, &fd(next)?, size.is_none())?;
        next += 1;
    }
    if let Some(mac) = &guest.network {
        let stream = next;
        // SAFETY: there is no path, the link address lives through the call, and the descriptor is open and
        // nobody else's.
        check("network", unsafe {
            krun::krun_add_net_unixstream(
                context,
                std::ptr::null(),
                stream,
                mac.as_ptr(),
                OUTWARD | INWARD,
                0,
            )
        })?;
    }
    // SAFETY: standard output is open, and nobody else in this process uses it.
    check("serial console", unsafe { krun::krun_add_serial_console_default(context, -1, 1) })?;
    Ok(Configured(context))
}

impl Configured {
    /// Runs the guest. libkrun ends the process with it, so this comes back only with what kept it from running.
    pub(super) fn enter(self) -> String {
        let code = krun::krun_start_enter(self.0);
        format!("the MicroVM cannot be started: {}", io::Error::from_raw_os_error(-code))
    }
}

/// libkrun answers with a negative error number.
fn check(what: &str, code: i32) -> Result<(), String> {
    match code {
        0.. => Ok(()),
        _ => Err(format!("libkrun refuses the {what}: {}", io::Error::from_raw_os_error(-code))),
    }
}
