//! What can be wrong with an archive.

use std::io;

/// A result of this crate.
pub type Result<T, E = TarError> = std::result::Result<T, E>;

/// An archive that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It is damaged or hostile.
    #[error("{thing} is damaged: {reason}")]
    Corrupt {
        /// What was read.
        thing: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds what we do not handle.
    #[error("{thing}: {what} is not supported")]
    Unsupported {
        /// What was read.
        thing: String,
        /// What is in it.
        what: String,
    },
    /// It is over a limit.
    #[error("{thing} is over the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        thing: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Where it comes from, reading failed.
    #[error("cannot read {thing}")]
    Read {
        /// What was read.
        thing: String,
        /// Why.
        source: io::Error,
    },
}

impl TarError {
    pub(crate) fn corrupt(thing: &str, reason: impl ToString) -> Self {
        Self::Corrupt { thing: thing.to_owned(), reason: reason.to_string() }
    }

    /// A failed read of `thing`. Decoders say `InvalidData` or `UnexpectedEof` where the bytes are at fault.
    pub(crate) fn read(thing: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                Self::corrupt(thing, source)
            }
            io::ErrorKind::UnexpectedEof => Self::corrupt(thing, "it ends too early"),
            _ => Self::Read { thing: thing.to_owned(), source },
        }
    }
}

/// A copy that failed: of what, and why.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file, as a user may read it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Something that is not done.
    #[error("cannot copy {path}: {reason}")]
    Refused {
        /// The file, as a user may read it.
        path: String,
        /// Why.
        reason: String,
    },
    /// The archive is at fault.
    #[error(transparent)]
    Archive(#[from] TarError),
    /// The other end went away, or says that it failed.
    #[error("the copy was broken off")]
    Broken(#[source] io::Error),
}

impl CopyError {
    pub(crate) fn new(action: &'static str, path: &[u8], source: io::Error) -> Self {
        Self::File { action, path: readable(path), source }
    }

    pub(crate) fn refuse(path: &[u8], reason: impl ToString) -> Self {
        Self::Refused { path: readable(path), reason: reason.to_string() }
    }

    pub(crate) fn out(source: io::Error) -> Self {
        Self::Broken(source)
    }

    pub(crate) fn input(source: io::Error) -> Self {
        TarError::read("the archive", source).into()
    }
}

/// A path that cannot steer a terminal.
fn readable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
