//! Confidential boxes: what may be asked of the processor against the box's own host, and what a host lacks for it.
//!
//! Nothing here attests anything. A box that asks for it is refused where the host cannot give it, never run without.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// AMD's processors that encrypt a guest's memory and keep it whole (SEV-SNP), by generation: what a guest measures
/// differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SevSnpGeneration {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004.
    Genoa,
}

impl SevSnpGeneration {
    /// The generation of the processor of this family and model (CPUID leaf 1), where it is one of them.
    pub const fn of(family: u32, model: u32) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            _ => None,
        }
    }
}

impl fmt::Display for SevSnpGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milan => "milan",
            Self::Genoa => "genoa",
        })
    }
}

impl FromStr for SevSnpGeneration {
    type Err = crate::BoxError;

    fn from_str(text: &str) -> Result<Self, crate::BoxError> {
        match text {
            "milan" => Ok(Self::Milan),
            "genoa" => Ok(Self::Genoa),
            _ => Err(crate::BoxError::new(
                crate::ErrorKind::InvalidInput,
                format!("unknown generation of SEV-SNP {text:?}"),
            )
            .with_hint("choose one of: milan genoa")),
        }
    }
}

/// What a confidential box asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeeConfig {
    /// AMD SEV-SNP, on this generation of processors.
    SevSnp(SevSnpGeneration),
}

/// One thing that a host lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeeGap {
    /// The shim was built without the libkrun that starts confidential guests.
    Build,
    /// What libkrun boots in them does not speak with the shim.
    Guest,
    /// The processor does not have SEV-SNP.
    Processor,
    /// It is of another generation, or of one that is not known.
    Generation {
        /// The one that was asked for.
        wanted: SevSnpGeneration,
        /// What it is.
        found: Option<SevSnpGeneration>,
    },
    /// The kernel's module does not use it; this is what its parameter says.
    Kernel(String),
    /// The device of the processor's firmware cannot be used, for this reason.
    Device(String),
    /// The firmware and kernel that libkrun starts confidential guests with are not installed.
    Firmware,
}

impl fmt::Display for TeeGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build => f.write_str("a3s-box-shim was built without its feature tee-sev"),
            Self::Guest => {
                f.write_str("libkrun boots a kernel and an init of its own in them, which run no boxes yet")
            }
            Self::Processor => f.write_str("the processor has no SEV-SNP (CPUID 0x8000001f)"),
            Self::Generation { wanted, found: Some(found) } => {
                write!(f, "the processor is of generation {found}, not {wanted}")
            }
            Self::Generation { wanted, found: None } => {
                write!(f, "the processor is of a generation that is not known, not {wanted}")
            }
            Self::Kernel(says) => {
                write!(f, "the kernel does not use it: kvm_amd's parameter sev_snp is {says}")
            }
            Self::Device(why) => write!(f, "/dev/sev cannot be used: {why}"),
            Self::Firmware => f.write_str("libkrunfw-sev.so.5 is not installed"),
        }
    }
}

/// The error of a box that cannot be confidential on this host: all that is missing for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TeeNotSupported {
    /// What is missing; at least one thing.
    pub missing: Vec<TeeGap>,
}

impl fmt::Display for TeeNotSupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<String> = self.missing.iter().map(TeeGap::to_string).collect();
        write!(f, "this host runs no SEV-SNP guests: {}", missing.join("; "))
    }
}

impl std::error::Error for TeeNotSupported {}

impl From<TeeNotSupported> for crate::BoxError {
    fn from(error: TeeNotSupported) -> Self {
        Self::new(crate::ErrorKind::Unsupported, error.to_string())
            .with_hint("leave --tee out for a box that trusts its host")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_known_by_family_and_model() {
        assert_eq!(SevSnpGeneration::of(0x19, 0x01), Some(SevSnpGeneration::Milan));
        assert_eq!(SevSnpGeneration::of(0x19, 0x11), Some(SevSnpGeneration::Genoa));
        assert_eq!(SevSnpGeneration::of(0x19, 0x21), None);
        assert_eq!(SevSnpGeneration::of(6, 143), None);
        assert_eq!("genoa".parse::<SevSnpGeneration>().unwrap(), SevSnpGeneration::Genoa);
        assert!("naples".parse::<SevSnpGeneration>().is_err());
    }

    #[test]
    fn a_refusal_names_all_that_is_missing() {
        let wanted = SevSnpGeneration::Genoa;
        let missing = vec![TeeGap::Generation { wanted, found: None }, TeeGap::Kernel("N".into())];
        let error = crate::BoxError::from(TeeNotSupported { missing });
        assert_eq!(
            error.to_string(),
            "this host runs no SEV-SNP guests: the processor is of a generation that is not known, not genoa; \
             the kernel does not use it: kvm_amd's parameter sev_snp is N"
        );
    }

    #[test]
    fn a_config_is_one_word_in_json() {
        let config = TeeConfig::SevSnp(SevSnpGeneration::Milan);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(json, r#"{"sev-snp":"milan"}"#);
        assert_eq!(serde_json::from_str::<TeeConfig>(&json).unwrap(), config);
    }
}
