//! Whether this host runs guests that it cannot look into (AMD SEV-SNP).

use a3s_box_core::{SevSnpGeneration, TeeConfig, TeeGap, TeeNotSupported};
use std::fs::File;
use std::io;
use std::path::Path;

/// What libkrun starts such guests with: it brings a kernel of its own, as they measure what they boot from.
const FIRMWARE: &str = "libkrunfw-sev.so.5";
const LIBRARIES: &[&str] =
    &["/usr/local/lib64", "/usr/local/lib", "/usr/lib64", "/usr/lib", "/usr/lib/x86_64-linux-gnu"];

/// What bears on it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    /// Whether the shim was built with the libkrun that starts such guests (its feature `tee-sev`).
    build: bool,
    /// Whether what such a guest boots speaks with the shim.
    guest: bool,
    /// Whether the processor has SEV-SNP.
    processor: bool,
    /// Its generation, where it is one that is known.
    generation: Option<SevSnpGeneration>,
    /// What the kernel's module says of it; nothing where it is not loaded.
    parameter: Option<String>,
    /// Whether the firmware's device can be opened.
    device: Result<(), String>,
    /// Whether the guest's firmware is installed.
    firmware: bool,
}

/// Refuses a box that is to be confidential as `wanted` says, where this host cannot make it so. `build` tells whether
/// the shim was built with the libkrun that starts such guests.
///
/// # Errors
/// All that is missing.
pub(crate) fn require(wanted: TeeConfig, build: bool) -> Result<(), TeeNotSupported> {
    let TeeConfig::SevSnp(generation) = wanted;
    judge(Some(generation), &gather(build))
}

/// Why no box can be confidential here; nothing where one can.
pub(crate) fn report(build: bool) -> Result<(), TeeNotSupported> {
    judge(None, &gather(build))
}

fn judge(wanted: Option<SevSnpGeneration>, facts: &Facts) -> Result<(), TeeNotSupported> {
    let mut missing = Vec::new();
    if !facts.build {
        missing.push(TeeGap::Build);
    }
    if !facts.guest {
        missing.push(TeeGap::Guest);
    }
    if !facts.processor {
        missing.push(TeeGap::Processor);
    } else if let Some(wanted) = wanted
        && facts.generation != Some(wanted)
    {
        missing.push(TeeGap::Generation { wanted, found: facts.generation });
    }
    match facts.parameter.as_deref() {
        Some("Y" | "1") => {}
        Some(other) => missing.push(TeeGap::Kernel(other.to_owned())),
        None => missing.push(TeeGap::Kernel("not there".to_owned())),
    }
    if let Err(why) = &facts.device {
        missing.push(TeeGap::Device(why.clone()));
    }
    if !facts.firmware {
        missing.push(TeeGap::Firmware);
    }
    if missing.is_empty() { Ok(()) } else { Err(TeeNotSupported { missing }) }
}

fn gather(build: bool) -> Facts {
    let (processor, generation) = crate::sys::sev_snp()
        .map_or((false, None), |(family, model)| (true, SevSnpGeneration::of(family, model)));
    let device = File::options().read(true).write(true).open("/dev/sev");
    Facts {
        build,
        // libkrun takes no other kernel and initramfs for them than its firmware library's.
        guest: false,
        processor,
        generation,
        parameter: std::fs::read_to_string("/sys/module/kvm_amd/parameters/sev_snp")
            .ok()
            .map(|text| text.trim().to_owned()),
        device: device.map(drop).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "there is none".to_owned(),
            _ => e.to_string(),
        }),
        firmware: LIBRARIES.iter().any(|dir| Path::new(dir).join(FIRMWARE).exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Facts {
        Facts {
            build: true,
            guest: true,
            processor: true,
            generation: Some(SevSnpGeneration::Milan),
            parameter: Some("Y".into()),
            device: Ok(()),
            firmware: true,
        }
    }

    #[test]
    fn a_host_that_has_it_all_is_not_refused() {
        assert_eq!(judge(Some(SevSnpGeneration::Milan), &able()), Ok(()));
        let error = judge(Some(SevSnpGeneration::Genoa), &able()).unwrap_err();
        let found = Some(SevSnpGeneration::Milan);
        assert_eq!(error.missing, [TeeGap::Generation { wanted: SevSnpGeneration::Genoa, found }]);
    }

    #[test]
    fn a_host_that_has_nothing_is_told_of_everything() {
        let facts = Facts {
            build: false,
            guest: false,
            processor: false,
            generation: None,
            parameter: None,
            device: Err("there is none".into()),
            firmware: false,
        };
        let missing = judge(Some(SevSnpGeneration::Milan), &facts).unwrap_err().missing;
        assert_eq!(
            missing,
            [
                TeeGap::Build,
                TeeGap::Guest,
                TeeGap::Processor,
                TeeGap::Kernel("not there".into()),
                TeeGap::Device("there is none".into()),
                TeeGap::Firmware,
            ]
        );
    }

    #[test]
    fn no_build_starts_such_guests_yet_and_each_says_why() {
        for build in [false, true] {
            let missing = report(build).unwrap_err().missing;
            assert_eq!(missing.contains(&TeeGap::Build), !build);
            assert!(missing.contains(&TeeGap::Guest));
        }
    }

    #[test]
    fn a_kernel_that_does_not_use_it_is_named() {
        let facts = Facts { parameter: Some("N".into()), ..able() };
        assert_eq!(judge(None, &facts).unwrap_err().missing, [TeeGap::Kernel("N".into())]);
    }
}
