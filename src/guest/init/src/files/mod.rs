//! What is done with the box's files, in a child of init's: archives are written to standard output and read from
//! standard input.

mod changes;

use crate::boot::{LOWER, UPPER};
use a3s_box_agent::proto::agent::{Unpack, files_request::Work};
use a3s_box_tar::{CopyError, Packing, Source, TarReader, TarWriter, Unpacking, copy_to, extract_to, pack};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::Pid;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::rc::Rc;

/// How much goes through a pipe at once.
const BUFFER: usize = 256 << 10;
/// What is kept of a file's extended attributes when it is copied.
const XATTRS: &[&str] = &["user.", "security.capability"];
/// The same of an export, which is to be whole.
const ALL_XATTRS: &[&str] = &["user.", "security.capability", "system.posix_acl_"];
/// The kernel's own links (`/proc/PID/root`, say) could lead out of the box's root.
const RESOLVE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Does `work`; why it failed, on one line. `omit` is what of the root is not the box's.
pub(crate) fn run(work: &Work, omit: Vec<Vec<u8>>) -> Result<(), String> {
    let root = open("/")?;
    let done = match work {
        Work::Pack(what) => {
            let source = Source::find(root.as_fd(), &relative(&what.path), RESOLVE, what.follow)
                .map_err(|e| format!("{}: {e}", readable(&what.path)))?;
            write(&source, &Packing { xattrs: XATTRS, ..Packing::default() })
        }
        Work::Export(_) => {
            let packing = Packing { xattrs: ALL_XATTRS, one_file_system: true, omit, overlay: None };
            write(&Source::content(root), &packing)
        }
        Work::Unpack(what) => {
            read(what, |tar, rules| copy_to(root.as_fd(), &relative(&what.path), RESOLVE, rules, tar))
        }
        Work::Extract(what) => {
            read(what, |tar, rules| extract_to(root.as_fd(), &relative(&what.path), RESOLVE, rules, tar))
        }
        Work::Layer(_) | Work::Changes(_) => return Err("the box does not see its own layers".to_owned()),
    };
    done.map_err(|e| explain(&e))
}

/// Does `work` on the box's upper layer; why it failed, on one line. The box's first process is `main`.
pub(crate) fn look(work: &Work, main: Pid) -> Result<(), String> {
    let upper = open(&format!("{UPPER}/upper"))?;
    if let Work::Changes(_) = work {
        return changes::tell(upper, open(LOWER)?).map_err(|e| e.to_string());
    }
    let whole = open(&format!("/proc/{}/root", main.as_raw_nonzero()))?;
    let packing = Packing { xattrs: ALL_XATTRS, overlay: Some(Rc::new(whole)), ..Packing::default() };
    write(&Source::content(upper), &packing).map_err(|e| explain(&e))
}

/// What is in every box's root though neither its image nor anybody in it has put it there.
pub(crate) fn ours() -> Vec<Vec<u8>> {
    ["usr/bin/nsexec", "etc/hosts", "etc/hostname", "etc/resolv.conf"]
        .into_iter()
        .filter(|path| {
            let has = |layer: &str| std::fs::symlink_metadata(format!("{layer}/{path}")).is_ok();
            !has(LOWER) && !has(&format!("{UPPER}/upper"))
        })
        .map(|path| path.as_bytes().to_vec())
        .collect()
}

fn write(source: &Source, packing: &Packing) -> Result<(), CopyError> {
    let out = stdio(rustix::stdio::stdout().try_clone_to_owned())?;
    // A wider pipe makes for fewer turns; it is no matter where it is not to be had.
    let _ = rustix::pipe::fcntl_setpipe_size(&out, BUFFER);
    let mut tar = TarWriter::new(BufWriter::with_capacity(BUFFER, File::from(out)));
    pack(source, packing, &mut tar)?;
    tar.finish().map(drop).map_err(CopyError::Broken)
}

fn read(
    what: &Unpack,
    place: impl FnOnce(&mut TarReader<BufReader<File>>, &Unpacking) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let input = stdio(rustix::stdio::stdin().try_clone_to_owned())?;
    let _ = rustix::pipe::fcntl_setpipe_size(&input, BUFFER);
    let rules = Unpacking {
        owners: what.owners,
        set_id: true,
        devices: true,
        xattrs: XATTRS,
        resolve: RESOLVE,
        bytes: u64::MAX,
        entries: u64::MAX,
    };
    let mut tar = TarReader::new("the archive", BufReader::with_capacity(BUFFER, File::from(input)));
    place(&mut tar, &rules)
}

fn stdio(fd: std::io::Result<OwnedFd>) -> Result<OwnedFd, CopyError> {
    fd.map_err(CopyError::Broken)
}

fn open(path: &str) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| format!("{path}: {e}"))
}

/// Every path begins at the root. What it ends with means something, and stays.
fn relative(path: &[u8]) -> Vec<u8> {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    if start == path.len() { b".".to_vec() } else { path[start..].to_vec() }
}

fn readable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// An error with its causes.
fn explain(error: &CopyError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
