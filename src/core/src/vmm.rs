//! Which program runs a MicroVM, and what executes the guest's instructions.

use crate::{BoxError, ErrorKind};
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
        /// `qemu-system-*`, driven over QMP.
        Qemu = "qemu",
    }
}

words! {
    /// The VMM that a user asks for.
    VmmChoice: "VMM" {
        /// The best one that this host can run.
        Auto = "auto",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_and_print_alike() {
        assert_eq!("tcg".parse::<Accel>().unwrap(), Accel::Tcg);
        assert_eq!(AccelChoice::Auto.to_string(), "auto");
        let error = "bochs".parse::<VmmChoice>().unwrap_err();
        assert_eq!(error.to_string(), "unknown VMM \"bochs\"");
        assert_eq!(error.hint(), Some("choose one of: auto qemu"));
    }
}
