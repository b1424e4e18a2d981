//! Bind mounts: folders and files of the host in a box.

use crate::{BoxError, ErrorKind, Result, VolumeMount, mount_point};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The most bind mounts of one box.
pub const MAX_BINDS: usize = 16;

/// A folder or file of the host, and its place in a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindMount {
    /// Its absolute path on the host.
    pub source: PathBuf,
    /// Its path in the box.
    pub target: String,
    /// Whether it can only be read there.
    pub read_only: bool,
    /// Whether a folder is made on the host where there is nothing when the box is created.
    pub create: bool,
}

impl BindMount {
    fn new(source: &str, target: &str, read_only: bool, create: bool) -> Result<Self> {
        let refuse = |message: String, hint: &str| {
            Err(BoxError::new(ErrorKind::InvalidInput, message).with_hint(hint.to_owned()))
        };
        if source.contains('\0') {
            return refuse(format!("the path {source:?} holds a NUL byte"), "Linux cannot have such a file");
        }
        // A shell knows whose home is meant; here it is too late.
        if source.starts_with('~') {
            return refuse(
                format!("{source:?} is no absolute path"),
                "leave the ~ to the shell, or use $HOME",
            );
        }
        let source = Path::new(source);
        if !source.is_absolute() {
            return refuse(format!("{source:?} is no absolute path"), "begin it with / or ./");
        }
        Ok(Self { source: tidy(source), target: mount_point(target)?, read_only, create })
    }
}

/// The path without `.`, `..` and doubled slashes, as Docker has it: by its letters, whatever links there are.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => tidy.push(name),
            std::path::Component::ParentDir => drop(tidy.pop()),
            _ => {}
        }
    }
    tidy
}

/// What `-v` and `--mount` may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A volume.
    Volume(VolumeMount),
    /// A folder or file of the host.
    Bind(BindMount),
}

impl Mount {
    /// Understands what `-v` takes: `NAME:PATH[:ro]` for a volume, `HOST:PATH[:ro]` for a folder or file of the host,
    /// which is told by its first letter; one that begins with `.` is taken from `here`.
    ///
    /// # Errors
    /// `InvalidInput` for what makes no sense.
    pub fn from_short(text: &str, here: &Path) -> Result<Self> {
        let form = |message: String| {
            BoxError::new(ErrorKind::InvalidInput, message)
                .with_hint("write NAME:PATH or /HOST:PATH, and :ro after it for reading only")
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
                // What Docker's users write for SELinux, for copying, for macOS and for mounts in mounts has nothing to
                // do here.
                "z" | "Z" | "nocopy" | "cached" | "delegated" | "consistent" | "rprivate" | "private" => {}
                _ => return Err(form(format!("unknown option {option:?} of volume {text:?}"))),
            }
        }
        if source.starts_with(['/', '.', '~']) {
            return BindMount::new(&absolute(source, here), target, read_only, true).map(Self::Bind);
        }
        VolumeMount::new(source, target, read_only).map(Self::Volume)
    }

    /// Understands what `--mount` takes: `type=volume,source=NAME,target=PATH[,readonly]`, or `type=bind` with a path of
    /// the host as source.
    ///
    /// # Errors
    /// `InvalidInput` for what makes no sense, `Unsupported` for other types.
    pub fn from_long(text: &str, here: &Path) -> Result<Self> {
        let refuse = |kind, message: String| {
            Err(BoxError::new(kind, message).with_hint(
                "write type=bind,source=/HOST,target=PATH[,readonly], or type=volume,source=NAME,…",
            ))
        };
        let (mut source, mut target, mut read_only, mut bind) = (None, None, false, false);
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match (key, value) {
                ("type", "volume") => bind = false,
                ("type", "bind") => bind = true,
                ("type", "tmpfs") => {
                    return refuse(ErrorKind::Unsupported, format!("{text:?} is what --tmpfs does"));
                }
                ("source" | "src", name) => source = Some(name),
                ("target" | "destination" | "dst", path) => target = Some(path),
                ("readonly" | "ro", "" | "true" | "1") => read_only = true,
                ("readonly" | "ro", "false" | "0") => read_only = false,
                ("volume-nocopy" | "consistency", _) => {}
                // What is mounted in the folder is not seen in any case.
                ("bind-propagation", "private" | "rprivate") | ("bind-recursive", "disabled") => {}
                _ => {
                    return refuse(
                        ErrorKind::InvalidInput,
                        format!("unknown part {part:?} of mount {text:?}"),
                    );
                }
            }
        }
        match (source, target) {
            (Some(source), Some(target)) if bind => {
                BindMount::new(&absolute(source, here), target, read_only, false).map(Self::Bind)
            }
            (Some(source), Some(target)) => VolumeMount::new(source, target, read_only).map(Self::Volume),
            _ => refuse(ErrorKind::InvalidInput, format!("mount {text:?} names no source or no target")),
        }
    }
}

/// A path that begins with `.` is taken from `here`.
fn absolute(source: &str, here: &Path) -> String {
    match source.starts_with('.') {
        true => here.join(source).to_string_lossy().into_owned(),
        false => source.to_owned(),
    }
}

/// A bind mount as the guest init is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindPoint {
    /// Its path in the box.
    pub target: String,
    /// Whether it can only be read there.
    pub read_only: bool,
    /// Whether it is a file, and no folder.
    pub file: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> Result<Mount> {
        Mount::from_short(text, Path::new("/work/here"))
    }

    fn long(text: &str) -> Result<Mount> {
        Mount::from_long(text, Path::new("/work/here"))
    }

    fn bind(source: &str, target: &str, read_only: bool, create: bool) -> Mount {
        Mount::Bind(BindMount { source: source.into(), target: target.into(), read_only, create })
    }

    fn volume(name: &str, target: &str, read_only: bool) -> Mount {
        Mount::Volume(VolumeMount { volume: name.parse().unwrap(), target: target.into(), read_only })
    }

    #[test]
    fn mounts_are_written_as_docker_writes_them() {
        assert_eq!(short("data:/var/lib").unwrap(), volume("data", "/var/lib", false));
        assert_eq!(short("a.b-c_1:/x/:ro,z").unwrap(), volume("a.b-c_1", "/x", true));
        assert_eq!(long("type=volume,src=data,dst=/x,readonly").unwrap(), volume("data", "/x", true));
        assert_eq!(short("/host//a/./b/../c:/x:ro").unwrap(), bind("/host/a/c", "/x", true, true));
        assert_eq!(short(".:/src").unwrap(), bind("/work/here", "/src", false, true));
        assert_eq!(short("../x:/src").unwrap(), bind("/work/x", "/src", false, true));
        assert_eq!(short("/..:/src").unwrap(), bind("/", "/src", false, true));
        let mount = "type=bind,source=./a,target=/x,readonly";
        assert_eq!(long(mount).unwrap(), bind("/work/here/a", "/x", true, false));
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
            assert!(short(bad).is_err(), "{bad}");
        }
        for bad in ["~/home:/x", "/a:relative", "/a:/dev/x", "/a\0:/x"] {
            assert!(short(bad).is_err(), "{bad}");
        }
        for bad in [
            "type=bind,src=a,dst=/b",
            "type=bind,src=/a",
            "type=volume,src=a",
            "dst=/x",
            "src=a,dst=/x,what=1",
        ] {
            assert!(long(bad).is_err(), "{bad}");
        }
    }
}
