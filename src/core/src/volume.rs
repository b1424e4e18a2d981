//! Volumes: disks with names, which outlive the boxes that they are mounted in.

use crate::{BoxError, ErrorKind, mount_point};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The most volumes of one box: a machine has so many places for disks.
pub const MAX_VOLUMES: usize = 3;

/// A volume's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if word && begins && text.len() <= Self::MAX_LEN {
            return Ok(Self(text.to_owned()));
        }
        Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid volume name {text:?}"))
            .with_hint("begin with a letter or digit; letters, digits, '_', '.' and '-', at most 64"))
    }
}

impl TryFrom<String> for VolumeName {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A volume, and its place in a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    /// The volume.
    pub volume: VolumeName,
    /// Its path in the box.
    pub target: String,
    /// Whether it can only be read there.
    pub read_only: bool,
}

impl VolumeMount {
    pub(crate) fn new(source: &str, target: &str, read_only: bool) -> Result<Self, BoxError> {
        Ok(Self { volume: source.parse()?, target: mount_point(target)?, read_only })
    }
}

/// A volume's disk, as the shim gives it to the VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeDisk {
    /// The file.
    pub path: PathBuf,
    /// Whether the guest can only read it.
    pub read_only: bool,
}

/// The serial number of the disk of a box's volume number `index`.
pub fn volume_serial(index: usize) -> String {
    format!("volume{index}")
}
