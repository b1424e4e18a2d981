//! One error border: the shape in which every crate's errors reach a user.

use std::fmt;

/// A result whose error is ready to be shown to a user.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;

/// What kind of failure an error is. Exit codes and gRPC codes follow from it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The named box, image, file or program does not exist.
    NotFound,
    /// Something of that name exists already.
    AlreadyExists,
    /// An argument, a file or a message does not make sense.
    InvalidInput,
    /// The box is not in a state in which this can be done.
    WrongState,
    /// This host, VMM or build cannot do it.
    Unsupported,
    /// A peer (registry, guest, VMM) could not be reached or went away.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// The operating system refused for lack of rights.
    Permission,
    /// Disk, memory or a declared limit is used up.
    OutOfSpace,
    /// Stored or received data is damaged or does not match its digest.
    Corrupt,
    /// A fault of ours.
    Internal,
}

/// An error as a user sees it: what failed, on what, why, and what to do next.
///
/// Messages are lower case without a final stop; the source's text is never repeated in the message.
#[derive(Debug)]
pub struct BoxError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BoxError {
    /// An error of `kind` whose `message` names the operation and the thing it failed on.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An operating system error met while doing `what`; its kind follows from the error number.
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        let failed = Self::new(ErrorKind::from(error.kind()), what);
        // Whoever knows a better way out says so over this.
        let failed = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                failed.with_hint("free some space on that disk: `a3s-box df` shows what takes it up")
            }
            _ => failed,
        };
        failed.caused_by(error)
    }

    /// The kind of this failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The failure with its causes, in one line.
    pub fn with_causes(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// What to do next, where we know.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for BoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BoxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<std::io::ErrorKind> for ErrorKind {
    fn from(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as Io;
        match kind {
            Io::NotFound => Self::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::Permission,
            Io::AlreadyExists => Self::AlreadyExists,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge | Io::OutOfMemory => Self::OutOfSpace,
            Io::TimedOut => Self::Timeout,
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::BrokenPipe
            | Io::NotConnected
            | Io::UnexpectedEof => Self::Unavailable,
            Io::InvalidInput | Io::InvalidData => Self::InvalidInput,
            Io::Unsupported => Self::Unsupported,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_io_error_keeps_its_cause_and_gets_a_kind() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = BoxError::io("cannot write /x", full).with_hint("free some space");
        assert_eq!(error.kind(), ErrorKind::OutOfSpace);
        assert_eq!(error.to_string(), "cannot write /x");
        assert_eq!(error.hint(), Some("free some space"));
        assert!(error.source().is_some());
    }
}
