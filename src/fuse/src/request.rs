//! Requests, as they are read from messages.

use crate::wire::{Fields, IN_HEADER, MAX_DATA, MAX_MESSAGE, opcode};
use rustix::io::Errno;
use std::ffi::CStr;

/// What every request says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) opcode: u32,
    pub(crate) unique: u64,
    pub(crate) node: u64,
}

/// A time that is to be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) seconds: u64,
    pub(crate) nanoseconds: u32,
}

/// What `SETATTR` wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) valid: u32,
    pub(crate) handle: u64,
    pub(crate) size: u64,
    pub(crate) accessed: Time,
    pub(crate) modified: Time,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A request. Names are single names; whoever may be asked for more is told that there is none.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Init { major: u32, minor: u32, readahead: u32, flags: u32 },
    Destroy,
    Interrupt,
    Lookup { name: &'a CStr },
    Forget { count: u64 },
    ForgetMany { each: Vec<(u64, u64)> },
    GetAttr { handle: Option<u64> },
    SetAttr(Change),
    ReadLink,
    Symlink { name: &'a CStr, target: &'a CStr },
    MakeNode { name: &'a CStr, mode: u32 },
    MakeFolder { name: &'a CStr, mode: u32 },
    Unlink { name: &'a CStr },
    RemoveFolder { name: &'a CStr },
    Rename { from: &'a CStr, folder: u64, to: &'a CStr, flags: u32 },
    Link { node: u64, name: &'a CStr },
    Open { flags: u32 },
    Create { name: &'a CStr, flags: u32, mode: u32 },
    Read { handle: u64, offset: u64, size: usize },
    Write { handle: u64, offset: u64, how: u32, flags: u32, data: &'a [u8] },
    Stat,
    Release { handle: u64 },
    Sync { handle: u64, how: u32 },
    SetXattr { name: &'a CStr, value: &'a [u8], flags: u32 },
    GetXattr { name: &'a CStr, size: usize },
    ListXattr { size: usize },
    RemoveXattr { name: &'a CStr },
    OpenFolder,
    ReadFolder { handle: u64, offset: u64, size: usize, plus: bool },
    Allocate { handle: u64, offset: u64, length: u64, mode: u32 },
    Seek { handle: u64, offset: u64, whence: u32 },
}

/// The header of a message, if it can be one: it says how long the message is.
pub(crate) fn header(message: &[u8]) -> Option<Header> {
    let mut fields = Fields(message.get(..IN_HEADER)?);
    let mut next = || -> Result<(u32, Header), Errno> {
        let length = fields.u32()?;
        let opcode = fields.u32()?;
        Ok((length, Header { opcode, unique: fields.u64()?, node: fields.u64()? }))
    };
    let (length, header) = next().ok()?;
    (usize::try_from(length) == Ok(message.len()) && message.len() <= MAX_MESSAGE).then_some(header)
}

/// What the message wants, whose header this is.
///
/// # Errors
/// `ENOSYS` for what is not served, `EINVAL` for what is not as the kernel writes it.
pub(crate) fn parse<'a>(header: &Header, message: &'a [u8]) -> Result<Request<'a>, Errno> {
    let mut fields = Fields(message.get(IN_HEADER..).ok_or(Errno::INVAL)?);
    let request = body(header.opcode, &mut fields)?;
    // A newer kernel's INIT is longer.
    if !matches!(request, Request::Init { .. }) {
        fields.end()?;
    }
    Ok(request)
}

fn size(count: u32) -> Result<usize, Errno> {
    usize::try_from(count).ok().filter(|count| *count <= MAX_DATA).ok_or(Errno::INVAL)
}

fn body<'a>(opcode: u32, f: &mut Fields<'a>) -> Result<Request<'a>, Errno> {
    Ok(match opcode {
        opcode::INIT => {
            Request::Init { major: f.u32()?, minor: f.u32()?, readahead: f.u32()?, flags: f.u32()? }
        }
        opcode::DESTROY => Request::Destroy,
        opcode::INTERRUPT => f.u64().map(|_| Request::Interrupt)?,
        opcode::LOOKUP => Request::Lookup { name: f.name()? },
        opcode::FORGET => Request::Forget { count: f.u64()? },
        opcode::BATCH_FORGET => {
            let count = f.u32()?;
            f.u32()?;
            let each = (0..count).map(|_| Ok((f.u64()?, f.u64()?))).collect::<Result<_, Errno>>()?;
            Request::ForgetMany { each }
        }
        opcode::GETATTR => {
            let how = f.u32()?;
            f.u32()?;
            let handle = f.u64()?;
            Request::GetAttr { handle: (how & crate::wire::GETATTR_FH != 0).then_some(handle) }
        }
        opcode::SETATTR => Request::SetAttr(change(f)?),
        opcode::READLINK => Request::ReadLink,
        opcode::SYMLINK => Request::Symlink { name: f.name()?, target: f.text()? },
        opcode::MKNOD => {
            let mode = f.u32()?;
            f.bytes(12)?;
            Request::MakeNode { mode, name: f.name()? }
        }
        opcode::MKDIR => {
            let mode = f.u32()?;
            f.u32()?;
            Request::MakeFolder { mode, name: f.name()? }
        }
        opcode::UNLINK => Request::Unlink { name: f.name()? },
        opcode::RMDIR => Request::RemoveFolder { name: f.name()? },
        opcode::RENAME => {
            let folder = f.u64()?;
            Request::Rename { folder, flags: 0, from: f.name()?, to: f.name()? }
        }
        opcode::RENAME2 => {
            let (folder, flags) = (f.u64()?, f.u32()?);
            f.u32()?;
            Request::Rename { folder, flags, from: f.name()?, to: f.name()? }
        }
        opcode::LINK => Request::Link { node: f.u64()?, name: f.name()? },
        opcode::OPEN => {
            let flags = f.u32()?;
            f.u32()?;
            Request::Open { flags }
        }
        opcode::CREATE => {
            let (flags, mode) = (f.u32()?, f.u32()?);
            f.bytes(8)?;
            Request::Create { flags, mode, name: f.name()? }
        }
        _ => return by_handle(opcode, f),
    })
}

/// What is asked of something that is open, and what is left.
fn by_handle<'a>(opcode: u32, f: &mut Fields<'a>) -> Result<Request<'a>, Errno> {
    Ok(match opcode {
        opcode::OPENDIR => {
            f.bytes(8)?;
            Request::OpenFolder
        }
        opcode::READ | opcode::READDIR | opcode::READDIRPLUS => {
            let (handle, offset, size) = (f.u64()?, f.u64()?, size(f.u32()?)?);
            f.bytes(20)?;
            match opcode {
                opcode::READ => Request::Read { handle, offset, size },
                _ => Request::ReadFolder { handle, offset, size, plus: opcode == opcode::READDIRPLUS },
            }
        }
        opcode::WRITE => {
            let (handle, offset, size, how) = (f.u64()?, f.u64()?, f.u32()?, f.u32()?);
            f.u64()?;
            let flags = f.u32()?;
            f.u32()?;
            Request::Write { handle, offset, how, flags, data: f.bytes(size)? }
        }
        opcode::STATFS => Request::Stat,
        opcode::RELEASE | opcode::RELEASEDIR => {
            let handle = f.u64()?;
            f.bytes(16)?;
            Request::Release { handle }
        }
        opcode::FSYNC | opcode::FSYNCDIR => {
            let (handle, how) = (f.u64()?, f.u32()?);
            f.u32()?;
            Request::Sync { handle, how }
        }
        opcode::SETXATTR => {
            let (size, flags) = (f.u32()?, f.u32()?);
            Request::SetXattr { flags, name: f.text()?, value: f.bytes(size)? }
        }
        opcode::GETXATTR => {
            let size = size(f.u32()?)?;
            f.u32()?;
            Request::GetXattr { size, name: f.text()? }
        }
        opcode::LISTXATTR => {
            let size = size(f.u32()?)?;
            f.u32()?;
            Request::ListXattr { size }
        }
        opcode::REMOVEXATTR => Request::RemoveXattr { name: f.text()? },
        opcode::FALLOCATE => {
            let (handle, offset, length, mode) = (f.u64()?, f.u64()?, f.u64()?, f.u32()?);
            f.u32()?;
            Request::Allocate { handle, offset, length, mode }
        }
        opcode::LSEEK => {
            let (handle, offset, whence) = (f.u64()?, f.u64()?, f.u32()?);
            f.u32()?;
            Request::Seek { handle, offset, whence }
        }
        _ => return Err(Errno::NOSYS),
    })
}

fn change(f: &mut Fields<'_>) -> Result<Change, Errno> {
    let valid = f.u32()?;
    f.u32()?;
    let (handle, size) = (f.u64()?, f.u64()?);
    f.u64()?;
    let (accessed, modified, _changed) = (f.u64()?, f.u64()?, f.u64()?);
    let (accessed_ns, modified_ns, _changed_ns, mode) = (f.u32()?, f.u32()?, f.u32()?, f.u32()?);
    f.u32()?;
    let (uid, gid) = (f.u32()?, f.u32()?);
    f.u32()?;
    let accessed = Time { seconds: accessed, nanoseconds: accessed_ns };
    let modified = Time { seconds: modified, nanoseconds: modified_ns };
    Ok(Change { valid, handle, size, accessed, modified, mode, uid, gid })
}
