//! What KVM is worth: a throw-away VM runs a short loop in ring 0 and in ring 3, and the time tells.
//!
//! `/dev/kvm` may belong to a hypervisor that runs only the guest's ring 3 on the processor and interprets ring 0.
//! An ordinary kernel does not fail there: it takes minutes to boot.

use a3s_box_core::KvmVerdict;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) fn verdict() -> KvmVerdict {
    use super::guest::{Ring, Run, VirtualMachine};
    use std::time::Duration;

    /// A processor needs 1 ns at the worst, one that is itself emulated some 10 ns, an interpreter some 700 ns.
    const SLOW: Duration = Duration::from_nanos(60);
    /// The scheduler may take the processor away during one measurement, hardly during all of them; an interpreter takes
    /// ten times as long for ring 0 as for ring 3.
    const TRIES: [u32; 2] = [3, 20];

    let measure = |machine: &mut VirtualMachine, ring: Ring| -> Result<Run, String> {
        let mut best: Option<Run> = None;
        for _ in 0..TRIES[usize::from(ring == Ring::Three)] {
            let run = machine.count(ring)?;
            if run.took < SLOW * run.instructions {
                return Ok(run);
            }
            best = Some(best.map_or(run, |best| if run.took < best.took { run } else { best }));
        }
        best.map_or(Err("not measured".to_owned()), |run| {
            let what = if ring == Ring::Zero { "ring 0" } else { "ring 3" };
            let ms = run.took.as_secs_f64() * 1000.0;
            Err(format!("{what} is interpreted: {} instructions took {ms:.1} ms", run.instructions))
        })
    };
    let mut machine = match VirtualMachine::new() {
        Ok(machine) => machine,
        Err(reason) => return KvmVerdict::Unusable(reason),
    };
    let Err(ring0) = measure(&mut machine, Ring::Zero) else { return KvmVerdict::Full };
    // What interpreted the first loop may have left the vCPU in an odd state.
    match VirtualMachine::new().and_then(|mut machine| measure(&mut machine, Ring::Three)) {
        Ok(_) => KvmVerdict::Ring3(ring0),
        Err(ring3) => KvmVerdict::Unusable(format!("{ring0}; {ring3}")),
    }
}

/// Where no KVM interprets anything, one that makes a vCPU is one that works.
#[cfg(all(target_os = "linux", not(target_arch = "x86_64")))]
pub(super) fn verdict() -> KvmVerdict {
    let made = kvm_ioctls::Kvm::new().and_then(|kvm| kvm.create_vm()).and_then(|vm| vm.create_vcpu(0));
    made.map_or_else(|e| KvmVerdict::Unusable(format!("no VM can be made: {e}")), |_| KvmVerdict::Full)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn verdict() -> KvmVerdict {
    KvmVerdict::Unusable("KVM is Linux's".to_owned())
}
