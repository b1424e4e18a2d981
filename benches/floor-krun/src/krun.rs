//! libkrun's C interface.
#![allow(unsafe_code, reason = "libkrun takes C strings")]

use std::ffi::{CStr, CString};

/// What is to run.
pub(crate) struct Guest<'a> {
    pub(crate) memory_mib: u32,
    pub(crate) kernel: &'a str,
    pub(crate) initramfs: &'a str,
    pub(crate) command_line: &'a str,
    pub(crate) rootfs: &'a str,
    pub(crate) upper: &'a str,
}

/// Runs a guest. libkrun ends the process with it; what comes back is what kept it from running.
pub(crate) fn enter(guest: &Guest<'_>) -> String {
    match start(guest) {
        Ok(()) => "libkrun came back".to_owned(),
        Err(what) => format!("libkrun refuses the {what}"),
    }
}

fn start(guest: &Guest<'_>) -> Result<(), &'static str> {
    let text = |s: &str| CString::new(s).map_err(|_| "text");
    let (kernel, initramfs, command_line) =
        (text(guest.kernel)?, text(guest.initramfs)?, text(guest.command_line)?);
    let (rootfs, upper) = (text(guest.rootfs)?, text(guest.upper)?);
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
    let disk = |id: &CStr, path: &CStr, read_only| {
        // SAFETY: as above. A raw disk whose flushes go nowhere.
        done("disk", unsafe {
            krun::krun_add_disk3(context, id.as_ptr(), path.as_ptr(), 0, read_only, false, 0)
        })
    };
    disk(c"rootfs", &rootfs, true)?;
    disk(c"upper", &upper, false)?;
    // SAFETY: standard output is open, and nobody else in this process uses it.
    done("serial console", unsafe { krun::krun_add_serial_console_default(context, -1, 1) })?;
    done("start", krun::krun_start_enter(context)).map(drop)
}
