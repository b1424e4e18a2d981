//! `ImageError`: everything that can go wrong with images, and how it reaches a user.

use crate::Digest;
use a3s_box_core::{BoxError, Bytes, ErrorKind};
use a3s_box_tar::TarError;
use std::io;
use std::path::Path;

/// A result of this crate.
pub type Result<T, E = ImageError> = std::result::Result<T, E>;

/// A failure of this crate. Converts into [`BoxError`], which adds the kind and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Text that is not an image reference.
    #[error("invalid image reference {text:?}: {reason}")]
    InvalidReference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Text that is not `sha256:` and 64 hexadecimal digits.
    #[error("invalid digest {text:?}")]
    InvalidDigest {
        /// What was given.
        text: String,
    },
    /// No image of that name in the store or the registry.
    #[error("image {name} not found{meant}")]
    NotFound {
        /// The name that was looked for.
        name: String,
        /// The name that was probably meant, as a question; empty where there is none.
        meant: String,
    },
    /// A digest prefix that several images share.
    #[error("{prefix:?} could be any of {count} images")]
    Ambiguous {
        /// The prefix that was given.
        prefix: String,
        /// How many images begin so.
        count: usize,
    },
    /// A digest given where several names share the image.
    #[error("image {digest} has several names")]
    SeveralNames {
        /// The image.
        digest: Digest,
    },
    /// An image that cannot go because boxes use it.
    #[error("image {name} is in use by a box")]
    InUse {
        /// The image.
        name: String,
    },
    /// Input that is damaged, hostile, or does not match its digest.
    #[error("{thing} is damaged: {reason}")]
    Corrupt {
        /// What was read.
        thing: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Input that is well-formed, but of a kind that we do not handle.
    #[error("{thing}: {what} is not supported")]
    Unsupported {
        /// What was read.
        thing: String,
        /// What is in it.
        what: String,
    },
    /// An image without a variant for this host.
    #[error("{thing} has no variant for {wanted}, only for {offered}")]
    NoPlatform {
        /// The image.
        thing: String,
        /// The platform of this host.
        wanted: String,
        /// The platforms of the image.
        offered: String,
    },
    /// Input over a declared limit.
    #[error("{thing} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        thing: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// An image that does not fit into what the store may hold.
    #[error("{need} more do not fit: {used} of the store's {limit} are in use or your own")]
    NoRoom {
        /// What is to come.
        need: Bytes,
        /// What cannot go.
        used: Bytes,
        /// The store's limit.
        limit: Bytes,
    },
    /// Another process held a lock for too long.
    #[error("waited too long for another process to finish with {path}")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// A registry that could not be reached, or cut the connection.
    #[error("cannot {action}")]
    Unreachable {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A registry that refused.
    #[error("cannot {action}: {answer}")]
    Refused {
        /// What was tried.
        action: String,
        /// The registry's answer.
        answer: String,
        /// Whether credentials are missing or wrong.
        denied: bool,
    },
    /// A configuration that makes no sense.
    #[error("{what}")]
    Settings {
        /// What is wrong, and where.
        what: String,
    },
    /// A credential helper that failed.
    #[error("{program} failed: {said}")]
    Helper {
        /// The helper.
        program: String,
        /// What it printed.
        said: String,
    },
    /// An image without a signature that the user's policy asks for.
    #[error("image {image} is not signed as the policy for {prefix} asks: {reason}")]
    Unsigned {
        /// The image.
        image: String,
        /// The policy.
        prefix: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// A caller's own failure, from within a call of its own.
    #[error("{0}")]
    Caller(BoxError),
    /// The operating system refused.
    #[error("cannot {action}")]
    Io {
        /// What was tried, and on what.
        action: String,
        /// Its answer.
        source: io::Error,
    },
}

impl ImageError {
    /// Damaged or hostile input.
    pub(crate) fn corrupt(thing: impl ToString, reason: impl ToString) -> Self {
        Self::Corrupt { thing: thing.to_string(), reason: reason.to_string() }
    }

    /// Input of a kind that we do not handle.
    pub(crate) fn unsupported(thing: impl ToString, what: impl ToString) -> Self {
        Self::Unsupported { thing: thing.to_string(), what: what.to_string() }
    }

    /// Input over a limit of `limit` bytes.
    pub(crate) fn too_large(thing: impl ToString, limit: u64) -> Self {
        Self::TooLarge { thing: thing.to_string(), limit: Bytes(limit).to_string() }
    }

    /// For `map_err` on an I/O result: `verb path`.
    pub(crate) fn io<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action: format!("{verb} {}", path.display()), source }
    }

    /// For `map_err` on taking the lock file at `path`.
    pub(crate) fn lock(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| match source.kind() {
            io::ErrorKind::TimedOut => Self::Locked { path: path.display().to_string() },
            _ => Self::io("lock", path)(source),
        }
    }

    /// A failed read of `thing`. Decoders say `InvalidData` or `UnexpectedEof` where the bytes are at fault.
    pub(crate) fn read(thing: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                Self::corrupt(thing, source)
            }
            io::ErrorKind::UnexpectedEof => Self::corrupt(thing, "it ends too early"),
            _ => Self::Io { action: format!("read {thing}"), source },
        }
    }

    /// Whether there was no room to write.
    pub(crate) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Io { .. }) && self.kind() == ErrorKind::OutOfSpace
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidReference { .. }
            | Self::InvalidDigest { .. }
            | Self::Ambiguous { .. }
            | Self::Settings { .. } => ErrorKind::InvalidInput,
            Self::Helper { .. } | Self::Unsigned { .. } => ErrorKind::Permission,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::SeveralNames { .. } | Self::InUse { .. } => ErrorKind::WrongState,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::NoPlatform { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } | Self::NoRoom { .. } => ErrorKind::OutOfSpace,
            Self::Locked { .. } => ErrorKind::Timeout,
            Self::Refused { denied: true, .. } => ErrorKind::Permission,
            Self::Unreachable { .. } | Self::Refused { .. } => ErrorKind::Unavailable,
            Self::Caller(error) => error.kind(),
            Self::Io { source, .. } => source.kind().into(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidReference { .. } => "write it as alpine, user/app:tag or host:5000/app@sha256:…",
            Self::InvalidDigest { .. } => "write sha256: and 64 lower-case hexadecimal digits",
            Self::NotFound { .. } => "see `a3s-box images`, or get it with `a3s-box pull` or `a3s-box load`",
            Self::Ambiguous { .. } => "give more digits",
            Self::SeveralNames { .. } => "remove it name by name",
            Self::InUse { .. } => "remove the box first: `a3s-box ps -a`, `a3s-box rm`",
            Self::Corrupt { .. } => "remove it (`a3s-box rmi`) and get it again from a source that you trust",
            Self::Unsupported { .. } => "use an OCI image or the output of `docker save`",
            Self::NoPlatform { .. } => "use an image that is built for this machine",
            Self::TooLarge { .. } => "the input may be hostile; use a smaller image",
            Self::NoRoom { .. } => "raise `image.max-size` in config.toml, or remove boxes and images",
            Self::Locked { .. } => "see whether that process hangs, and end it",
            Self::Unreachable { .. } => "check the network and the registry's name",
            Self::Refused { denied: true, .. } => {
                "check the image's name, and log in with `a3s-box login` if it is private"
            }
            Self::Refused { answer, .. } if answer.starts_with("429") => {
                "wait, or log in with `a3s-box login`: registries give more to those they know"
            }
            Self::Refused { .. } => "try again later",
            Self::Settings { .. } => "see docs/config.md",
            Self::Helper { .. } => "see `credsStore` and `credHelpers` in Docker's config.json",
            Self::Unsigned { .. } => "get a signed image, or change `verify` in config.toml",
            Self::Io { source, .. } if ErrorKind::from(source.kind()) == ErrorKind::OutOfSpace => {
                "free some space, or move A3S_HOME to a larger disk"
            }
            Self::Io { source, .. } if ErrorKind::from(source.kind()) == ErrorKind::Unavailable => {
                "check the network and try again"
            }
            Self::Caller(_) | Self::Io { .. } => return None,
        })
    }
}

impl From<TarError> for ImageError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Corrupt { thing, reason } => Self::Corrupt { thing, reason },
            TarError::Unsupported { thing, what } => Self::Unsupported { thing, what },
            TarError::TooLarge { thing, limit } => Self::too_large(thing, limit),
            TarError::Read { thing, source } => Self::Io { action: format!("read {thing}"), source },
        }
    }
}

impl From<ImageError> for BoxError {
    fn from(error: ImageError) -> Self {
        if let ImageError::Caller(error) = error {
            return error;
        }
        let shown = BoxError::new(error.kind(), error.to_string());
        let shown = match error.hint() {
            Some(hint) => shown.with_hint(hint),
            None => shown,
        };
        match error {
            ImageError::Io { source, .. } => shown.caused_by(source),
            ImageError::Unreachable { source, .. } => shown.caused_by(source),
            _ => shown,
        }
    }
}
