//! Where a copy goes: the rules of `docker cp`, which are those of cp(1) with a choice less.

use crate::read::{Entry, EntryKind, TarReader};
use crate::sys::{LOOK, openat2};
use crate::unpack::{Unpacker, fill};
use crate::{CopyError, ResolveFlags, Unpacking};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io::BufRead;

/// Unpacks the archive `tar`, which one [`pack`](crate::pack()) has made, to `path`, found from `base` and with links
/// followed as `resolve` says.
///
/// What is copied goes into a folder that is there, under its own name; only its content does where the source was
/// named as `folder/.`. A file that is there is written over. Where nothing is, a file or folder of that name is made in
/// a folder that must be there.
///
/// # Errors
/// What breaks these rules or cannot be written, by its name; and what is wrong with the archive.
pub fn copy_to(
    base: BorrowedFd<'_>,
    path: &[u8],
    resolve: ResolveFlags,
    rules: &Unpacking,
    tar: &mut TarReader<impl BufRead>,
) -> Result<(), CopyError> {
    let failed = |e: Errno| CopyError::new("write", path, e.into());
    let Some(first) = tar.next_entry()? else { return Err(CopyError::refuse(path, "the archive is empty")) };
    let of_folder = first.kind == EntryKind::Directory;
    let named = if path.is_empty() { &b"."[..] } else { path };
    let find = |path: &[u8], flags| openat2(base, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
    let (folder, to) = match find(named, LOOK) {
        Ok(there) => {
            let stat = rustix::fs::fstat(&there).map_err(failed)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            match (kind, of_folder) {
                (FileType::Directory, _) => (there, own_name(&first)?),
                (_, true) => {
                    return Err(CopyError::refuse(path, "a folder cannot take the place of a file"));
                }
                // What is no file, such as a device, is not written into.
                (FileType::RegularFile, false) if is_file(&first) => {
                    return over(find, path, &first, rules, tar);
                }
                _ => parent(find, path)?,
            }
        }
        Err(Errno::NOENT) if path.ends_with(b"/") && !of_folder => {
            return Err(CopyError::refuse(path, "no such folder"));
        }
        Err(Errno::NOENT) => parent(find, path)?,
        Err(e) => return Err(failed(e)),
    };
    let mut unpacker = Unpacker::new(folder.as_fd(), rules);
    let top = without_slash(&first.path).to_vec();
    let moved = |path: &[u8]| -> Option<Vec<u8>> {
        let below = without_slash(path).strip_prefix(&top[..])?;
        match (below.first(), to.is_empty()) {
            (None, _) => Some(to.clone()),
            (Some(b'/'), true) => Some(below[1..].to_vec()),
            (Some(b'/'), false) => Some([&to[..], below].concat()),
            _ => None,
        }
    };
    let mut next = Some(first);
    while let Some(entry) = next {
        let astray = || CopyError::refuse(&entry.path, "it does not belong to what is copied");
        unpacker.account(&entry)?;
        let to = moved(&entry.path).ok_or_else(astray)?;
        let link = match &entry.kind {
            EntryKind::HardLink(target) => Some(moved(target).ok_or_else(astray)?),
            _ => None,
        };
        unpacker.put(&entry, &to, link.as_deref(), tar)?;
        next = tar.next_entry()?;
    }
    unpacker.finish()
}

/// Unpacks any archive into the folder at `path`, which must be there.
///
/// # Errors
/// As [`copy_to`].
pub fn extract_to(
    base: BorrowedFd<'_>,
    path: &[u8],
    resolve: ResolveFlags,
    rules: &Unpacking,
    tar: &mut TarReader<impl BufRead>,
) -> Result<(), CopyError> {
    let flags = LOOK | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let named = if path.is_empty() { &b"."[..] } else { path };
    let folder = openat2(base, named, flags, Mode::empty(), resolve)
        .map_err(|e| CopyError::new("unpack into", path, e.into()))?;
    let mut unpacker = Unpacker::new(folder.as_fd(), rules);
    unpacker.make_parents = true;
    while let Some(entry) = tar.next_entry()? {
        unpacker.account(&entry)?;
        let own = |path: &[u8]| -> Result<Vec<u8>, CopyError> {
            crate::names(path)
                .map(|names| names.join(&b'/'))
                .map_err(|reason| CopyError::refuse(&entry.path, reason))
        };
        let link = match &entry.kind {
            EntryKind::HardLink(target) => Some(own(target)?),
            _ => None,
        };
        unpacker.put(&entry, &own(&entry.path)?, link.as_deref(), tar)?;
    }
    unpacker.finish()
}

/// What the copy is called in a folder: nothing, where it is that folder's content.
fn own_name(first: &Entry) -> Result<Vec<u8>, CopyError> {
    let name = without_slash(&first.path);
    match name {
        b"." => Ok(Vec::new()),
        // A name, and nothing that leads anywhere.
        b"" | b".." => Err(CopyError::refuse(&first.path, "it has no name")),
        name if name.contains(&b'/') => Err(CopyError::refuse(&first.path, "its name is a path")),
        name => Ok(name.to_vec()),
    }
}

/// The folder that is to hold `path`, and its last name.
fn parent(
    find: impl Fn(&[u8], OFlags) -> Result<OwnedFd, Errno>,
    path: &[u8],
) -> Result<(OwnedFd, Vec<u8>), CopyError> {
    let whole = without_slash(path.strip_suffix(b"/.").unwrap_or(path));
    let start = whole.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let name = &whole[start..];
    if matches!(name, b"" | b"." | b"..") {
        return Err(CopyError::refuse(path, "it has no name"));
    }
    let folder = if start == 0 { &b"."[..] } else { &whole[..start] };
    let open = find(folder, LOOK | OFlags::DIRECTORY);
    Ok((open.map_err(|e| CopyError::new("find", folder, e.into()))?, name.to_vec()))
}

/// Writes a file over one that is there.
fn over(
    find: impl Fn(&[u8], OFlags) -> Result<OwnedFd, Errno>,
    path: &[u8],
    first: &Entry,
    rules: &Unpacking,
    tar: &mut TarReader<impl BufRead>,
) -> Result<(), CopyError> {
    let failed = |e: Errno| CopyError::new("write", path, e.into());
    let file = find(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    let EntryKind::File { size, sparse } = &first.kind else { return Ok(()) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(CopyError::refuse(path, "it is no file any more"));
    }
    rustix::fs::ftruncate(&file, 0).map_err(failed)?;
    let mut unpacker = Unpacker::new(file.as_fd(), rules);
    unpacker.account(first)?;
    fill(&file, path, *size, sparse.as_ref(), tar)?;
    unpacker.dress(file.as_fd(), first, path)?;
    match tar.next_entry()? {
        None => Ok(()),
        Some(more) => Err(CopyError::refuse(&more.path, "it does not belong to what is copied")),
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { .. })
}

fn without_slash(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
