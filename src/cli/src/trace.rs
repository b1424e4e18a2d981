//! `--trace-boot`: where the time between a command and its end went.

use a3s_box_core::{BootPhase, BootTrace};

/// Prints to standard error what each phase of a run took. `begin` is when this program began, `created` when
/// the box's record was written; both in microseconds since the UNIX epoch.
pub(crate) fn print(begin: u64, created: u64, trace: &BootTrace, end: u64) {
    let mut marks = vec![("cli: box created", created)];
    marks.extend(trace.0.iter().map(|(phase, at)| (name(*phase), *at)));
    marks.push(("cli: box removed, done", end));
    marks.sort_by_key(|(_, at)| *at);
    let ms = |from: u64, to: u64| {
        let us = to.saturating_sub(from);
        format!("{:>9}.{:01} ms", us / 1000, us % 1000 / 100)
    };
    let mut last = begin;
    eprintln!("{:<34} {:>14} {:>14}", "phase", "took", "since start");
    for (name, at) in marks {
        eprintln!("{name:<34} {:>14} {:>14}", ms(last, at), ms(begin, at));
        last = at;
    }
}

fn name(phase: BootPhase) -> &'static str {
    match phase {
        BootPhase::Shim => "shim: started, spec read",
        BootPhase::Vmm => "shim: VMM started",
        BootPhase::Restored => "shim: guest restored",
        BootPhase::Kernel => "kernel: first console line",
        BootPhase::Init => "init: agent port open",
        BootPhase::Agent => "agent: handshake answered",
        BootPhase::Process => "command: running",
        BootPhase::Output => "command: first byte of output",
        BootPhase::Exit => "command: ended",
        BootPhase::Ended => "VMM: gone",
    }
}
