//! `Files`: work on the box's files, in a process that is as much the box's as any of its own: what it finds there may
//! mislead it, and it has no more rights than whoever misled it. Only what the box does not see of itself, its upper
//! layer, is read from outside.

use super::{Call, exec};
use crate::files;
use crate::process::Process;
use crate::process::failure::Failure;
use a3s_box_agent::proto::agent::{ExecInput, exec_input, files_request::Work};
use tonic::{Status, Streaming};

/// Begins what the first input says.
pub(super) async fn files(call: Call, mut inputs: Streaming<ExecInput>) -> Result<exec::Outputs, Status> {
    let Some(exec_input::Kind::Files(request)) = inputs.message().await?.and_then(|input| input.kind) else {
        return Err(Status::invalid_argument("the first input is not `files`"));
    };
    let Some(work) = request.work else { return Err(Status::invalid_argument("no work is named")) };
    let guest = &call.0;
    let forked = match work {
        Work::Layer(_) | Work::Changes(_) => {
            let main = guest.container.main_pid;
            guest.container.errand(true, move || files::look(&work, main))
        }
        _ => {
            let omit = files::ours();
            guest.container.errand(false, move || files::run(&work, omit))
        }
    };
    let process = match forked.and_then(|forked| Process::watch(forked, &guest.reaper)) {
        Ok(process) => process,
        Err(e) => return Ok(exec::refuse(Failure::setup(exec::cannot_fork(&e)))),
    };
    Ok(exec::connect(call, process, inputs, exec::Orphan::Dies))
}
