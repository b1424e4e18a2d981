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
    /// Understands what `-v` takes: `NAME:PATH[:ro]`.
    ///
    /// # Errors
    /// `Unsupported` for a path of the host's, `InvalidInput` for what makes no sense.
    pub fn from_short(text: &str) -> Result<Self, BoxError> {
        let form = |message: String| {
            BoxError::new(ErrorKind::InvalidInput, message).with_hint("write NAME:PATH or NAME:PATH:ro")
        };
        let mut parts = text.split(':');
        let (source, target, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let (Some(target), None) = (target, parts.next()) else {
            return Err(form(format!("invalid volume {text:?}")));
        };
        let mut read_only = false;
        for option in options.into_iter().flat_map(|options| options.split(',')) {
            match option {
                "ro" => read_only = true,
                "rw" => read_only = false,
                // What Docker's users write for SELinux and for copying has nothing to do here.
                "z" | "Z" | "nocopy" => {}
                _ => return Err(form(format!("unknown option {option:?} of volume {text:?}"))),
            }
        }
        Self::new(source, target, read_only)
    }

    /// Understands what `--mount` takes: `type=volume,source=NAME,target=PATH[,readonly]`.
    ///
    /// # Errors
    /// As [`VolumeMount::from_short`].
    pub fn from_long(text: &str) -> Result<Self, BoxError> {
        let refuse = |kind, message: String| {
            Err(BoxError::new(kind, message)
                .with_hint("write type=volume,source=NAME,target=PATH[,readonly]"))
        };
        let (mut source, mut target, mut read_only) = (None, None, false);
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match (key, value) {
                ("type", "volume") => {}
                ("type", "bind") => return Err(no_bind(text)),
                ("type", "tmpfs") => {
                    return refuse(ErrorKind::Unsupported, format!("{text:?} is what --tmpfs does"));
                }
                ("source" | "src", name) => source = Some(name),
                ("target" | "destination" | "dst", path) => target = Some(path),
                ("readonly" | "ro", "" | "true" | "1") => read_only = true,
                ("readonly" | "ro", "false" | "0") => read_only = false,
                ("volume-nocopy", _) => {}
                _ => {
                    return refuse(
                        ErrorKind::InvalidInput,
                        format!("unknown part {part:?} of mount {text:?}"),
                    );
                }
            }
        }
        match (source, target) {
            (Some(source), Some(target)) => Self::new(source, target, read_only),
            _ => refuse(ErrorKind::InvalidInput, format!("mount {text:?} names no source or no target")),
        }
    }

    fn new(source: &str, target: &str, read_only: bool) -> Result<Self, BoxError> {
        if source.starts_with(['/', '.', '~']) {
            return Err(no_bind(source));
        }
        Ok(Self { volume: source.parse()?, target: mount_point(target)?, read_only })
    }
}

fn no_bind(source: &str) -> BoxError {
    BoxError::new(ErrorKind::Unsupported, format!("a box cannot have the host's files mounted: {source:?}"))
        .with_hint("keep files in a volume (-v NAME:/path), and copy them in and out with `a3s-box cp`")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_written_as_docker_writes_them() {
        let mount = |volume: &str, target: &str, read_only| VolumeMount {
            volume: volume.parse().unwrap(),
            target: target.into(),
            read_only,
        };
        assert_eq!(VolumeMount::from_short("data:/var/lib").unwrap(), mount("data", "/var/lib", false));
        assert_eq!(VolumeMount::from_short("a.b-c_1:/x/:ro,z").unwrap(), mount("a.b-c_1", "/x", true));
        let long = "type=volume,src=data,dst=/x,readonly";
        assert_eq!(VolumeMount::from_long(long).unwrap(), mount("data", "/x", true));
        for bad in [
            "",
            "/x",
            "data",
            "data:x",
            "data:/",
            "data:/proc",
            "data:/x:no",
            "data:/x:ro:y",
            "-a:/x",
            "a/b:/x",
        ] {
            assert!(VolumeMount::from_short(bad).is_err(), "{bad}");
        }
        for host in ["/host:/x", "./here:/x", "~/home:/x"] {
            let error = VolumeMount::from_short(host).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{host}");
        }
        for bad in ["type=bind,src=/a,dst=/b", "type=volume,src=a", "dst=/x", "src=a,dst=/x,what=1"] {
            assert!(VolumeMount::from_long(bad).is_err(), "{bad}");
        }
    }
}
