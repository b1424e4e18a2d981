//! A file system in the guest's memory.

use super::mount_point;
use crate::{BoxError, Bytes, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where it is, and how. Parses `PATH[:OPTION,...]`, as Docker does; without options nothing in it can be executed,
/// and set-uid programs are without effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tmpfs {
    /// Its path in the box.
    pub path: String,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Whether programs in it can be executed.
    pub exec: bool,
    /// Whether set-uid programs have their effect.
    pub suid: bool,
    /// The most that it holds; half of the memory when absent.
    pub size: Option<Bytes>,
    /// The permissions of its root; those of the folder that it covers when absent, or 1777 where there is none.
    pub mode: Option<u32>,
    /// The owner of its root.
    pub uid: Option<u32>,
    /// The group of its root.
    pub gid: Option<u32>,
    /// The most files.
    pub inodes: Option<u64>,
}

impl Tmpfs {
    fn set(&mut self, option: &str) -> Result<(), BoxError> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let invalid = |hint: &str| {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid option {option:?} of a tmpfs"))
                .with_hint(hint.to_owned())
        };
        let number = || "it takes a number";
        match (name, value) {
            ("rw", "") => self.read_only = false,
            ("ro", "") => self.read_only = true,
            ("exec", "") => self.exec = true,
            ("noexec", "") => self.exec = false,
            ("suid", "") => self.suid = true,
            ("nosuid", "") => self.suid = false,
            // Device nodes work nowhere in a box but in /dev.
            ("nodev" | "noatime" | "relatime", "") => {}
            ("size", size) => self.size = Some(size.parse()?),
            ("mode", mode) => {
                let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or_else(|| invalid("it takes an octal number, such as 1777"))?);
            }
            ("uid", id) => self.uid = Some(id.parse().map_err(|_| invalid(number()))?),
            ("gid", id) => self.gid = Some(id.parse().map_err(|_| invalid(number()))?),
            ("nr_inodes", count) => self.inodes = Some(count.parse().map_err(|_| invalid(number()))?),
            _ => {
                return Err(invalid(
                    "the options are rw, ro, exec, noexec, suid, nosuid, nodev, size, mode, uid, gid, nr_inodes",
                ));
            }
        }
        Ok(())
    }

    /// What mount(2) takes as its data; `mode` where none was asked for.
    pub fn data(&self, mode: u32) -> String {
        let mut data = format!("mode={:o}", self.mode.unwrap_or(mode));
        let numbers = [
            ("size", self.size.map(|size| size.0)),
            ("uid", self.uid.map(Into::into)),
            ("gid", self.gid.map(Into::into)),
            ("nr_inodes", self.inodes),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                data += &format!(",{name}={value}");
            }
        }
        data
    }
}

impl FromStr for Tmpfs {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        let mut tmpfs = Self {
            path: mount_point(path)?,
            read_only: false,
            exec: false,
            suid: false,
            size: None,
            mode: None,
            uid: None,
            gid: None,
            inodes: None,
        };
        options.split(',').filter(|option| !option.is_empty()).try_for_each(|option| tmpfs.set(option))?;
        Ok(tmpfs)
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, if self.read_only { "ro" } else { "rw" })?;
        write!(
            f,
            ",{},{}",
            if self.exec { "exec" } else { "noexec" },
            if self.suid { "suid" } else { "nosuid" }
        )?;
        if let Some(mode) = self.mode {
            write!(f, ",mode={mode:o}")?;
        }
        let numbers = [
            ("size", self.size.map(|size| size.0)),
            ("uid", self.uid.map(Into::into)),
            ("gid", self.gid.map(Into::into)),
            ("nr_inodes", self.inodes),
        ];
        numbers
            .iter()
            .try_for_each(|(name, value)| value.map_or(Ok(()), |value| write!(f, ",{name}={value}")))
    }
}

impl TryFrom<String> for Tmpfs {
    type Error = BoxError;

    fn try_from(text: String) -> Result<Self, BoxError> {
        text.parse()
    }
}

impl From<Tmpfs> for String {
    fn from(tmpfs: Tmpfs) -> Self {
        tmpfs.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_dockers_and_survive_being_written_down() {
        for (text, data) in [
            ("/run", "mode=1777"),
            ("/run:rw,noexec,nosuid,size=65536k", "mode=1777,size=67108864"),
            ("/x/:exec,mode=0700,uid=5,gid=6,nr_inodes=7", "mode=700,uid=5,gid=6,nr_inodes=7"),
        ] {
            let tmpfs: Tmpfs = text.parse().unwrap();
            assert_eq!(tmpfs.data(0o1777), data);
            assert_eq!(tmpfs.to_string().parse::<Tmpfs>().unwrap(), tmpfs);
        }
        for bad in ["", "run", "/", "/proc", "/a:size=x", "/a:mode=9", "/a:dev", "/a:mode=17777", "/a:uid=-1"]
        {
            assert!(bad.parse::<Tmpfs>().is_err(), "{bad}");
        }
    }
}
