//! What was added, changed and deleted since the image: the box's upper layer, compared with what is below it.

use a3s_box_tar::{MAX_PATH, Standing};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::io::{self, BufWriter, Write};

/// Writes a line for each change to standard output, folders before what is in them.
pub(super) fn tell(upper: OwnedFd, lower: OwnedFd) -> io::Result<()> {
    let mut teller = Teller { upper, lower, out: BufWriter::new(io::stdout().lock()) };
    teller.folder(&mut Vec::new(), true)?;
    teller.out.flush()
}

struct Teller<W: Write> {
    upper: OwnedFd,
    lower: OwnedFd,
    out: BufWriter<W>,
}

impl<W: Write> Teller<W> {
    /// Tells of all in the folder at `path`; `below` says whether there is one of that name below.
    fn folder(&mut self, path: &mut Vec<u8>, below: bool) -> io::Result<()> {
        let folder = open(&self.upper, path)?;
        let standing = Standing::of(folder.as_fd())?;
        let names = names(&folder)?;
        let length = path.len();
        if below && standing == Standing::Opaque {
            for name in self.names_below(path)?.iter().filter(|name| !names.contains(name)) {
                let gone = [&path[..], b"/", name].concat();
                self.line(b'D', &gone)?;
            }
        }
        let same = below && standing == Standing::Merged;
        for name in &names {
            path.truncate(length);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            if path.len() > MAX_PATH {
                continue;
            }
            let stat = match rustix::fs::statat(&folder, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                // It went away meanwhile.
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            let there = if below && standing != Standing::Moved { self.kind_below(path)? } else { None };
            let kind = FileType::from_raw_mode(stat.st_mode);
            if Standing::is_whiteout(&stat) {
                // One over nothing is left of something that came and went.
                if there.is_some() {
                    self.line(b'D', path)?;
                }
                continue;
            }
            self.line(if there.is_some() { b'C' } else { b'A' }, path)?;
            if kind == FileType::Directory {
                self.folder(path, same && there == Some(FileType::Directory))?;
            }
        }
        path.truncate(length);
        Ok(())
    }

    fn names_below(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        names(&open(&self.lower, path)?)
    }

    fn kind_below(&self, path: &[u8]) -> io::Result<Option<FileType>> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat2(&self.lower, path, flags, Mode::empty(), resolve) {
            Ok(found) => Ok(Some(FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode))),
            // A link in the image is found as itself only where it ends the path.
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP) => Ok(Some(FileType::Symlink)),
            Err(e) => Err(e.into()),
        }
    }

    fn line(&mut self, kind: u8, path: &[u8]) -> io::Result<()> {
        self.out.write_all(&[kind, b'/'])?;
        self.out.write_all(path)?;
        self.out.write_all(&[0])
    }
}

fn open(root: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { &b"."[..] } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}
