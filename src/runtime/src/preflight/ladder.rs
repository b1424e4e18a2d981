//! The ladder: the ways to run a box, from the best one down, and the first of them that the host and the box allow.

use super::{Facts, Qemu};
use a3s_box_core::{
    Accel, AccelChoice, BoxConfig, BoxError, ErrorKind, Kernel, KernelChoice, KvmVerdict, Result, Vmm,
    VmmChoice,
};

/// One way to run a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rung {
    pub(crate) vmm: Vmm,
    pub(crate) accel: Accel,
    pub(crate) kernel: Kernel,
}

/// What a box gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) rung: Rung,
    /// Why it is no better one, where the user left the choice.
    pub(crate) stepped_down: Option<String>,
}

/// Why a rung cannot be taken.
struct Refusal {
    reason: String,
    way_out: String,
}

/// Settles what runs a box that was asked for as `config`.
///
/// # Errors
/// `Unsupported` where nothing here runs the box as it was asked for, with the reasons.
pub(crate) fn choose(config: &BoxConfig, facts: &Facts) -> Result<Machine> {
    let mut reasons: Vec<String> = Vec::new();
    let mut way_out = None;
    let wanted: Vec<Rung> = rungs().filter(|rung| rung.is_wanted(config)).collect();
    for rung in &wanted {
        match rung.fits(config, facts) {
            Ok(()) => {
                let stepped_down = (!reasons.is_empty()).then(|| reasons.join("; "));
                return Ok(Machine { rung: *rung, stepped_down });
            }
            Err(refusal) => {
                way_out.get_or_insert(refusal.way_out);
                if !reasons.contains(&refusal.reason) {
                    reasons.push(refusal.reason);
                }
            }
        }
    }
    if wanted.is_empty() {
        return Err(BoxError::new(
            ErrorKind::Unsupported,
            format!("VMM {} cannot use accelerator {}", config.vmm, config.accel),
        )
        .with_hint("leave one of --vmm and --accel out"));
    }
    let error = BoxError::new(
        ErrorKind::Unsupported,
        format!("this host cannot run the box as it is asked for: {}", reasons.join("; ")),
    );
    Err(error.with_hint(way_out.unwrap_or_default()))
}

/// All rungs, the best first: hardware before emulation, a kernel that guards itself before one that does not.
fn rungs() -> impl Iterator<Item = Rung> {
    let hardware =
        [Kernel::Standard, Kernel::Cpl3].map(|kernel| [(Accel::Hvf, kernel), (Accel::Kvm, kernel)]);
    let software = [(Accel::Tcg, Kernel::Standard), (Accel::Tcg, Kernel::Cpl3)];
    hardware.into_iter().flatten().chain(software).flat_map(|(accel, kernel)| {
        let able = move |vmm: &Vmm| vmm.capabilities().accels.contains(&accel);
        [Vmm::Krun, Vmm::Qemu].into_iter().filter(able).map(move |vmm| Rung { vmm, accel, kernel })
    })
}

impl Rung {
    fn is_wanted(self, config: &BoxConfig) -> bool {
        let vmm = match config.vmm {
            VmmChoice::Auto => true,
            VmmChoice::Krun => self.vmm == Vmm::Krun,
            VmmChoice::Qemu => self.vmm == Vmm::Qemu,
        };
        let accel = match config.accel {
            // The other system's is not worth a word.
            AccelChoice::Auto => {
                (self.accel == Accel::Hvf) == cfg!(target_os = "macos") || self.accel == Accel::Tcg
            }
            AccelChoice::Kvm => self.accel == Accel::Kvm,
            AccelChoice::Hvf => self.accel == Accel::Hvf,
            AccelChoice::Tcg => self.accel == Accel::Tcg,
        };
        let kernel = match config.kernel {
            KernelChoice::Auto => true,
            KernelChoice::Standard => self.kernel == Kernel::Standard,
            KernelChoice::Cpl3 => self.kernel == Kernel::Cpl3,
        };
        vmm && accel && kernel
    }

    /// Whether this host can run the box so.
    fn fits(self, config: &BoxConfig, facts: &Facts) -> Result<(), Refusal> {
        let refuse = |reason: String, way_out: &str| Err(Refusal { reason, way_out: way_out.to_owned() });
        if let (Accel::Hvf, Err(reason)) = (self.accel, &facts.hvf) {
            return refuse(reason.clone(), "leave --accel out");
        }
        match (self.accel, &facts.kvm) {
            (Accel::Kvm, KvmVerdict::Unusable(reason)) => {
                return refuse(
                    reason.clone(),
                    "leave --accel out for software emulation; see `a3s-box doctor`",
                );
            }
            (Accel::Kvm, KvmVerdict::Ring3(reason)) if self.kernel == Kernel::Standard => {
                return refuse(
                    reason.clone(),
                    "leave --kernel out for a kernel that runs in ring 3, or --accel for software emulation",
                );
            }
            _ => {}
        }
        match self.vmm {
            Vmm::Krun if facts.krun.is_none() => {
                return refuse("this build of a3s-box-shim is without libkrun".into(), "use --vmm qemu");
            }
            Vmm::Qemu if facts.qemu.is_none() => {
                return refuse(
                    format!("{} is not installed", Qemu::PROGRAM),
                    "install it, on Debian with `apt-get install qemu-system-x86`, or name it in A3S_BOX_QEMU",
                );
            }
            _ => {}
        }
        if !facts.kernels.contains(&self.kernel) {
            return refuse(
                format!("the {} kernel is not installed", self.kernel),
                "build it with `cargo xtask kernel`, or name its folder in A3S_BOX_KERNEL_DIR",
            );
        }
        if config.cpus > self.kernel.max_cpus() {
            let (kernel, most) = (self.kernel, self.kernel.max_cpus());
            return refuse(
                format!("the {kernel} kernel has {most} vCPU, not {}", config.cpus),
                "leave --cpus out, or use --accel tcg",
            );
        }
        if let Some(memory) = facts.memory.filter(|memory| config.memory > *memory) {
            return refuse(
                format!("the host has {memory} of memory, not {}", config.memory),
                "ask for less with --memory",
            );
        }
        Ok(())
    }

    /// Refuses a box whose machine this host does not have, or has no more.
    ///
    /// # Errors
    /// `Unsupported`, with the reason.
    pub(crate) fn recheck(self, config: &BoxConfig, facts: &Facts) -> Result<()> {
        self.fits(config, facts).map_err(|refusal| {
            BoxError::new(
                ErrorKind::Unsupported,
                format!(
                    "the box was made for {}/{} with the {} kernel, and this host cannot run it: {}",
                    self.vmm, self.accel, self.kernel, refusal.reason
                ),
            )
            .with_hint("see `a3s-box doctor`, or create the box anew")
        })
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
