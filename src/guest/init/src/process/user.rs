//! Who a process runs as, by the box's own `/etc/passwd` and `/etc/group`.
//!
//! The rules are those of OCI runtimes: a number need not be in `/etc/passwd`, a name must; an explicit group
//! takes the place of all others; without one, every group that lists the user's name comes with it.

use super::failure::Failure;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

/// A file longer than this is none that describes users.
const MAX_FILE: u64 = 4 << 20;
/// setgroups(2) takes no more.
const MAX_GROUPS: usize = 65536;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// The home directory.
    pub(crate) home: Vec<u8>,
}

/// Looks `wanted` (`user`, `uid`, `user:group`, `uid:gid`, or nothing for root) up in this root's own files; `further`
/// groups come with it.
///
/// # Errors
/// Names the user or group that is missing, or the file that cannot be read.
pub(crate) fn look_up(wanted: &str, further: &[String]) -> Result<User, Failure> {
    let group = read("/etc/group")?;
    let mut user = resolve(wanted, &read("/etc/passwd")?, &group)?;
    for name in further {
        let gid = group_id(name, &group)?;
        if !user.groups.contains(&gid) {
            user.groups.push(gid);
        }
    }
    Ok(user)
}

/// As [`look_up`], in a root that is not this process's own.
///
/// # Errors
/// As [`look_up`].
pub(crate) fn look_up_in(root: BorrowedFd<'_>, wanted: &str) -> Result<User, Failure> {
    let read = |path: &str| {
        let file = rustix::fs::openat2(root, path, READ, Mode::empty(), ResolveFlags::IN_ROOT);
        contents(path, file.map(File::from).map_err(Into::into))
    };
    resolve(wanted, &read("/etc/passwd")?, &read("/etc/group")?)
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    contents(path, rustix::fs::open(path, READ, Mode::empty()).map(File::from).map_err(Into::into))
}

/// A file that is missing is empty. One that is not a plain file is refused: a FIFO would never end.
fn contents(path: &str, file: std::io::Result<File>) -> Result<Vec<u8>, Failure> {
    let cannot = |e: std::io::Error| Failure::io(format!("cannot read the box's {path}"), e);
    let file = match file {
        Ok(file) => file,
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(cannot(e)),
    };
    let meta = file.metadata().map_err(cannot)?;
    if !meta.is_file() {
        return Err(Failure::setup(format!("the box's {path} is not a file")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or(0) + 1);
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::setup(format!("the box's {path} is longer than {} MiB", MAX_FILE >> 20)));
    }
    Ok(bytes)
}

fn resolve(wanted: &str, passwd: &[u8], group: &[u8]) -> Result<User, Failure> {
    let (name, wanted_group) = match wanted.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (wanted, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = id(name.as_bytes());
    let entry = entries(passwd, 7)
        .find(|fields| fields[0] == name.as_bytes() || (number.is_some() && id(fields[2]) == number));
    let (uid, gid, home) = match (&entry, number) {
        (Some(fields), _) => {
            let (Some(uid), Some(gid)) = (id(fields[2]), id(fields[3])) else {
                return Err(Failure::setup(format!(
                    "the entry of user {name:?} in the box's /etc/passwd is damaged"
                )));
            };
            (uid, gid, fields[5].to_vec())
        }
        (None, Some(uid)) => (uid, 0, Vec::new()),
        (None, None) if name.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(Failure::setup(format!("user {name:?} is out of range: ids are 0 to {MAX_ID}")));
        }
        (None, None) => {
            return Err(Failure::setup(format!("user {name:?} is not in the box's /etc/passwd")));
        }
    };
    let home = if home.is_empty() { b"/".to_vec() } else { home };
    if let Some(wanted) = wanted_group {
        let gid = group_id(wanted, group)?;
        return Ok(User { uid, gid, groups: vec![gid], home });
    }
    let mut groups = vec![gid];
    if let Some(fields) = entry {
        for line in entries(group, 4) {
            let listed = line[3].split(|b| *b == b',').any(|member| member == fields[0]);
            if let Some(gid) = id(line[2]).filter(|gid| listed && !groups.contains(gid)) {
                groups.push(gid);
            }
        }
    }
    groups.truncate(MAX_GROUPS);
    Ok(User { uid, gid, groups, home })
}

fn group_id(wanted: &str, group: &[u8]) -> Result<u32, Failure> {
    let number = id(wanted.as_bytes());
    entries(group, 4)
        .find(|fields| fields[0] == wanted.as_bytes() || (number.is_some() && id(fields[2]) == number))
        .and_then(|fields| id(fields[2]))
        .or(number)
        .ok_or_else(|| Failure::setup(format!("group {wanted:?} is not in the box's /etc/group")))
}

/// The well-formed lines of a file of `:`-separated fields; a missing last field is empty.
fn entries(file: &[u8], fields: usize) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|b| *b == b'\n').filter_map(move |line| {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return None;
        }
        let mut parts: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        if parts.len() + 1 == fields {
            parts.push(b"");
        }
        (parts.len() >= fields && !parts[0].is_empty()).then_some(parts)
    })
}

/// The last id: OCI runtimes allow no more, and the number above the kernel's last one means "no change".
const MAX_ID: u32 = i32::MAX.cast_unsigned();

fn id(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|n| *n <= MAX_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# note\nbroken:line\n\
        bob:x:1000:1001:Bob,,,:/home/bob:/bin/sh\n77:x:5:5::/seven:\nnohome:x:9:9:::\nbad:x:-1:x::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,bob\nbob:x:1001:\naudio:x:29:bob\ndup:x:29:bob\n\
        notbob:x:30:bobby\nnone:x:31\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn users_resolve_as_oci_runtimes_do() {
        for (wanted, expected) in [
            ("", user(0, 0, &[0, 10], "/root")),
            ("root", user(0, 0, &[0, 10], "/root")),
            ("bob", user(1000, 1001, &[1001, 10, 29], "/home/bob")),
            ("1000", user(1000, 1001, &[1001, 10, 29], "/home/bob")),
            ("bob:", user(1000, 1001, &[1001, 10, 29], "/home/bob")),
            ("bob:audio", user(1000, 29, &[29], "/home/bob")),
            ("bob:31", user(1000, 31, &[31], "/home/bob")),
            ("1000:4242", user(1000, 4242, &[4242], "/home/bob")),
            (":audio", user(0, 29, &[29], "/root")),
            ("4242", user(4242, 0, &[0], "/")),
            ("4242:7", user(4242, 7, &[7], "/")),
            // A name of digits is a name first.
            ("77", user(5, 5, &[5], "/seven")),
            ("nohome", user(9, 9, &[9], "/")),
        ] {
            assert_eq!(resolve(wanted, PASSWD, GROUP).unwrap(), expected, "{wanted}");
        }
        assert_eq!(resolve("", b"", b"").unwrap(), user(0, 0, &[0], "/"));
        assert_eq!(resolve("1:2", b"", b"").unwrap(), user(1, 2, &[2], "/"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (wanted, message) in [
            ("alice", "user \"alice\" is not in the box's /etc/passwd"),
            ("bob:nope", "group \"nope\" is not in the box's /etc/group"),
            ("bad", "the entry of user \"bad\" in the box's /etc/passwd is damaged"),
            ("4294967295", "user \"4294967295\" is out of range: ids are 0 to 2147483647"),
            ("-1", "user \"-1\" is not in the box's /etc/passwd"),
        ] {
            assert_eq!(resolve(wanted, PASSWD, GROUP).unwrap_err().message(), message);
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        let noise: Vec<u8> = (0..=255).cycle().take(5000).collect();
        assert!(resolve("bob", &noise, &noise).is_err());
        assert!(resolve("0", b":::::::\n::::::\n", b"::::").is_ok());
    }
}
