//! Why a process could not be started, and how its unborn child tells init.
//!
//! The child writes its id, as it sees it, to a pipe that exec closes; after that, where it fails, the reason.

use a3s_box_agent::proto::agent::{Failed, FailureKind};
use std::fmt;

/// Why a process could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: FailureKind,
    message: String,
}

impl Failure {
    /// The program does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::NotFound, message: message.into() }
    }

    /// The program exists and cannot be executed.
    pub(crate) fn not_executable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::NotExecutable, message: message.into() }
    }

    /// Something else that the process needs is missing.
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Setup, message: message.into() }
    }

    /// `what` could not be done, because of `error`.
    pub(crate) fn io(what: impl fmt::Display, error: impl Into<std::io::Error>) -> Self {
        Self::setup(format!("{what}: {}", error.into()))
    }

    /// Why.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The exit code that a shell would give.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.kind == FailureKind::NotFound { 127 } else { 126 }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(i32::from(self.kind)).unwrap_or(0)];
        bytes.extend_from_slice(self.message.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, message) = bytes.split_first()?;
        let kind = FailureKind::try_from(i32::from(*kind)).ok()?;
        Some(Self { kind, message: String::from_utf8_lossy(message).into_owned() })
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind.into(), message: failure.message }
    }
}

/// What the child said until it became the program, or ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It runs, with this id.
    Started(i32),
    /// It does not.
    Failed(Failure),
}

/// The most that a child says.
pub(crate) const MAX_REPORT: usize = 4096;

/// What a child of this id, which failed, writes.
pub(crate) fn report(pid: i32, failure: Option<&Failure>) -> Vec<u8> {
    let mut bytes = pid.to_le_bytes().to_vec();
    bytes.extend(failure.map(Failure::encode).unwrap_or_default());
    bytes.truncate(MAX_REPORT);
    bytes
}

impl Report {
    /// Understands everything that a child wrote.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let died = || Failure::setup("the process ended before it could run its program");
        let Some((pid, rest)) = bytes.split_first_chunk::<4>() else { return Self::Failed(died()) };
        if rest.is_empty() {
            return Self::Started(i32::from_le_bytes(*pid));
        }
        Self::Failed(Failure::decode(rest).unwrap_or_else(died))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe() {
        let failure = Failure::not_found("exec \"x\": no such file");
        assert_eq!(Report::parse(&report(7, None)), Report::Started(7));
        assert_eq!(Report::parse(&report(7, Some(&failure))), Report::Failed(failure));
        for broken in [&[][..], &[1, 2], &[1, 0, 0, 0, 99, b'x']] {
            assert!(matches!(Report::parse(broken), Report::Failed(_)), "{broken:?}");
        }
        let long = Failure::setup("x".repeat(100_000));
        assert_eq!(report(1, Some(&long)).len(), MAX_REPORT);
    }
}
