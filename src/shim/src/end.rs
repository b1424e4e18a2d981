//! How a run ended, in the words of `status.json` and of the protocol.

use crate::console::Console;
use crate::status::now;
use a3s_box_agent::proto::shim::End;
use a3s_box_core::{BootPhase, ExitReason, RunExit};

/// The exit code of every failure that is not the container process's own.
const OURS: i32 = 125;
/// A shell's code for a death by SIGKILL.
const KILLED: i32 = 137;

/// An end with a code and nothing more to say.
pub(crate) fn plain(code: i32, reason: ExitReason) -> RunExit {
    RunExit { code, reason, message: None, at: now() }
}

/// A box that was ended by force.
pub(crate) fn forced(reason: ExitReason) -> RunExit {
    plain(KILLED, reason)
}

/// A box that did not come up.
pub(crate) fn boot_failed(message: String) -> RunExit {
    RunExit { code: OURS, reason: ExitReason::BootFailed, message: Some(message), at: now() }
}

/// A container process that could not be started.
pub(crate) fn start_failed(code: i32, message: String) -> RunExit {
    RunExit { code, reason: ExitReason::StartFailed, message: Some(message), at: now() }
}

/// A guest that took too long.
pub(crate) fn boot_timeout(stage: BootPhase, allowed_ms: u64, console: &Console) -> RunExit {
    let seconds = allowed_ms / 1000;
    let message = format!(
        "the guest did not come up within {seconds} s; it came as far as: {}; the console's last lines:{}\n\
         hint: give it longer with --boot-timeout, or see console.log in the box's folder",
        stage_name(stage),
        console.tail()
    );
    RunExit { code: OURS, reason: ExitReason::BootTimeout, message: Some(message), at: now() }
}

/// A VMM that ended by itself, `how`, having said `stderr`, before or after the box was up.
pub(crate) fn vmm_ended(up: bool, how: &str, stderr: &str, console: &Console) -> RunExit {
    let said = if stderr.is_empty() { String::new() } else { format!(": {stderr}") };
    match (console.fatal(), up) {
        (Some(reason), false) => boot_failed(format!("the guest gave up: {reason}")),
        (None, false) if !stderr.is_empty() => boot_failed(format!("the VMM ended ({how}){said}")),
        (None, false) => {
            boot_failed(format!("the VMM ended ({how}); the console's last lines:{}", console.tail()))
        }
        (fatal, true) => {
            let why = fatal.map_or_else(
                || format!("the VMM ended ({how}){said}"),
                |fatal| format!("the guest gave up: {fatal}"),
            );
            let message = format!("{why}; the console's last lines:{}", console.tail());
            RunExit { code: OURS, reason: ExitReason::VmmCrashed, message: Some(message), at: now() }
        }
    }
}

/// An end as clients are told it.
pub(crate) fn wire(exit: &RunExit) -> End {
    let reason = serde_json::to_value(exit.reason).ok().and_then(|v| v.as_str().map(str::to_owned));
    End {
        code: exit.code,
        reason: reason.unwrap_or_default(),
        message: exit.message.clone().unwrap_or_default(),
    }
}

fn stage_name(stage: BootPhase) -> &'static str {
    match stage {
        BootPhase::Shim => "starting the VMM",
        BootPhase::Vmm => "VMM started, and the guest is silent",
        BootPhase::Restored => "guest restored",
        BootPhase::Kernel => "the guest's console spoke",
        BootPhase::Init => "guest init opened its port",
        BootPhase::Agent => "guest init answered",
        BootPhase::Process | BootPhase::Output | BootPhase::Exit | BootPhase::Ended => {
            "container process started"
        }
    }
}
