//! Between the shared types of `a3s-box-core` and the messages on the wire.

use crate::proto::agent::{Exited, Start, TtySize as WireTty};
use crate::proto::shim::NetworkCounters;
use a3s_box_core::{ExecRequest, NetCounters, TtySize};
use std::fmt;

/// A message that no honest peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMessage(&'static str);

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid message: {}", self.0)
    }
}

impl std::error::Error for InvalidMessage {}

impl Exited {
    /// The exit code as a shell would report it: 128+n for a death by signal n. It fits into a byte, whatever the guest
    /// says.
    pub fn shell_code(&self) -> i32 {
        if self.signal > 0 { 128 + (self.signal & 0x7f) } else { self.code & 0xff }
    }
}

impl From<ExecRequest> for Start {
    fn from(exec: ExecRequest) -> Self {
        let ExecRequest { args, env, cwd, user, tty, stdin, no_new_privs } = exec;
        Self { args, env, cwd, user, tty: tty.map(Into::into), stdin, no_new_privs }
    }
}

impl TryFrom<Start> for ExecRequest {
    type Error = InvalidMessage;

    fn try_from(start: Start) -> Result<Self, InvalidMessage> {
        let Start { args, env, cwd, user, tty, stdin, no_new_privs } = start;
        if args.is_empty() {
            return Err(InvalidMessage("no program to run"));
        }
        Ok(Self { args, env, cwd, user, tty: tty.map(TryInto::try_into).transpose()?, stdin, no_new_privs })
    }
}

impl From<TtySize> for WireTty {
    fn from(size: TtySize) -> Self {
        Self { rows: size.rows.into(), cols: size.cols.into() }
    }
}

impl TryFrom<WireTty> for TtySize {
    type Error = InvalidMessage;

    fn try_from(size: WireTty) -> Result<Self, InvalidMessage> {
        let narrow = |n: u32| u16::try_from(n).map_err(|_| InvalidMessage("terminal size out of range"));
        Ok(Self { rows: narrow(size.rows)?, cols: narrow(size.cols)? })
    }
}

impl From<NetCounters> for NetworkCounters {
    fn from(counters: NetCounters) -> Self {
        let NetCounters { sent, received, sent_frames, dropped_frames, open, allowed, refused, queries } =
            counters;
        Self { sent, received, sent_frames, dropped_frames, open, allowed, refused, queries }
    }
}

impl From<NetworkCounters> for NetCounters {
    fn from(counters: NetworkCounters) -> Self {
        let NetworkCounters { sent, received, sent_frames, dropped_frames, open, allowed, refused, queries } =
            counters;
        Self { sent, received, sent_frames, dropped_frames, open, allowed, refused, queries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        let exec = ExecRequest {
            args: vec!["sh".into(), "-c".into()],
            env: vec!["A=b".into()],
            cwd: "/tmp".into(),
            user: "1:2".into(),
            tty: Some(TtySize { rows: 3, cols: 4 }),
            stdin: true,
            no_new_privs: true,
        };
        assert_eq!(ExecRequest::try_from(Start::from(exec.clone())).unwrap(), exec);
        assert!(ExecRequest::try_from(Start::default()).is_err());
        assert!(TtySize::try_from(WireTty { rows: 70_000, cols: 1 }).is_err());
    }
}
