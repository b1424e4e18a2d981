//! Which program runs a MicroVM, what executes the guest's instructions, and which kernel it boots.

use crate::{BoxError, ErrorKind, MAX_CPUS};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $what:literal { $($(#[$case_doc:meta])* $case:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$case_doc])* $case,)+ }

        impl FromStr for $name {
            type Err = BoxError;

            fn from_str(text: &str) -> Result<Self, BoxError> {
                match text {
                    $($word => Ok(Self::$case),)+
                    _ => Err(BoxError::new(ErrorKind::InvalidInput, format!("unknown {} {text:?}", $what))
                        .with_hint(concat!("choose one of:" $(, " ", $word)+))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$case => $word,)+ })
            }
        }
    };
}

words! {
    /// The program that runs a MicroVM.
    Vmm: "VMM" {
        /// libkrun, in a child of the shim.
        Krun = "krun",
        /// `qemu-system-*`, driven over QMP.
        Qemu = "qemu",
    }
}

impl Vmm {
    /// What it can do. What a VMM lacks is told here and nowhere else.
    pub const fn capabilities(self) -> Capabilities {
        match self {
            Self::Krun => Capabilities { accels: &[Accel::Kvm, Accel::Hvf] },
            Self::Qemu => Capabilities { accels: &[Accel::Kvm, Accel::Hvf, Accel::Tcg] },
        }
    }
}

/// What a VMM can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What can execute its guests.
    pub accels: &'static [Accel],
}

words! {
    /// The VMM that a user asks for.
    VmmChoice: "VMM" {
        /// The best one that this host can run.
        Auto = "auto",
        /// libkrun, or nothing.
        Krun = "krun",
        /// QEMU, whatever else there is.
        Qemu = "qemu",
    }
}

words! {
    /// What executes the guest's instructions.
    Accel: "accelerator" {
        /// The Linux kernel's virtual machine, on hardware.
        Kvm = "kvm",
        /// Apple's Hypervisor framework.
        Hvf = "hvf",
        /// QEMU's software emulation.
        Tcg = "tcg",
    }
}

words! {
    /// The accelerator that a user asks for.
    AccelChoice: "accelerator" {
        /// The best one that this host can run.
        Auto = "auto",
        /// Hardware virtualization through `/dev/kvm`.
        Kvm = "kvm",
        /// Hardware virtualization on Apple silicon.
        Hvf = "hvf",
        /// Software emulation.
        Tcg = "tcg",
    }
}

words! {
    /// The flavour of the guest kernel.
    Kernel: "kernel" {
        /// As processors expect a kernel to be.
        Standard = "standard",
        /// One that runs in ring 3, for a KVM that interprets ring 0.
        Cpl3 = "cpl3",
    }
}

impl Kernel {
    /// The most vCPUs that it can use.
    pub const fn max_cpus(self) -> u32 {
        match self {
            Self::Standard => MAX_CPUS,
            Self::Cpl3 => 1,
        }
    }

    /// Whether the guest's processes are kept apart from the guest's kernel.
    pub const fn guards_itself(self) -> bool {
        matches!(self, Self::Standard)
    }
}

words! {
    /// The flavour of the guest kernel that a user asks for.
    KernelChoice: "kernel" {
        /// The one that the accelerator can run well.
        Auto = "auto",
        /// As processors expect a kernel to be.
        Standard = "standard",
        /// One that runs in ring 3, for a KVM that interprets ring 0.
        Cpl3 = "cpl3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_and_print_alike() {
        assert_eq!("tcg".parse::<Accel>().unwrap(), Accel::Tcg);
        assert_eq!(AccelChoice::Auto.to_string(), "auto");
        let error = "bochs".parse::<VmmChoice>().unwrap_err();
        assert_eq!(error.to_string(), "unknown VMM \"bochs\"");
        assert_eq!(error.hint(), Some("choose one of: auto krun qemu"));
    }
}
