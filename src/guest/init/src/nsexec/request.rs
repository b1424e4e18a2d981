//! What `nsexec` asks of init, and how it is written: a length, then fields that each end with a NUL, which no
//! argument, variable or path can hold.

use a3s_box_core::TtySize;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

/// The longest request: what Linux takes as arguments and environment, 2 MiB, and paths.
pub(super) const MAX: usize = 3 << 20;

/// One command to run apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) args: Vec<CString>,
    pub(super) env: Vec<CString>,
    /// The working directory; where it was `chosen` it has to exist.
    pub(super) cwd: String,
    pub(super) cwd_chosen: bool,
    /// Another user than the caller's; only root of the box may.
    pub(super) user: Option<String>,
    /// Whether the box's network is shared.
    pub(super) net: bool,
    /// A terminal of its own, of this size.
    pub(super) terminal: Option<TtySize>,
    /// Files and folders that stay writable.
    pub(super) writable: Vec<String>,
}

impl Request {
    /// The request as it is sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        let size = self.terminal.unwrap_or(TtySize { rows: 0, cols: 0 });
        let numbers = [
            u64::from(self.net),
            u64::from(self.cwd_chosen),
            u64::from(self.terminal.is_some()),
            size.rows.into(),
            size.cols.into(),
            u64::from(self.user.is_some()),
            self.writable.len() as u64,
            self.args.len() as u64,
        ];
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut body = Vec::new();
        let mut field = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            body.push(0);
        };
        field(numbers.join(" ").as_bytes());
        field(self.cwd.as_bytes());
        field(self.user.as_deref().unwrap_or_default().as_bytes());
        self.writable.iter().for_each(|path| field(path.as_bytes()));
        self.args.iter().chain(&self.env).for_each(|string| field(string.as_bytes()));
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &body].concat()
    }

    /// Understands a request's body; none where it is not one.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = body.strip_suffix(&[0])?.split(|b| *b == 0);
        let numbers = std::str::from_utf8(fields.next()?).ok()?;
        let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [net, cwd_chosen, terminal, rows, cols, user, writable, args] = numbers[..] else { return None };
        let size = TtySize { rows: u16::try_from(rows).ok()?, cols: u16::try_from(cols).ok()? };
        let mut text = || String::from_utf8(fields.next()?.to_vec()).ok();
        let (cwd, named) = (text()?, text()?);
        let writable = (0..writable).map(|_| text()).collect::<Option<_>>()?;
        let mut strings = fields.map(|field| CString::new(field).ok());
        let args: Vec<CString> = (0..args).map(|_| strings.next()?).collect::<Option<_>>()?;
        let request = Self {
            env: strings.collect::<Option<_>>()?,
            cwd,
            cwd_chosen: cwd_chosen != 0,
            user: (user != 0).then_some(named),
            net: net != 0,
            terminal: (terminal != 0).then_some(size),
            writable,
            args,
        };
        let absolute = request.writable.iter().chain([&request.cwd]).all(|path| path.starts_with('/'));
        (absolute && !request.args.is_empty()).then_some(request)
    }
}

/// An argument or variable for the request; a process's own hold no NUL.
pub(super) fn string(text: OsString) -> CString {
    CString::new(text.into_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            args: vec![c"sh".into(), c"".into(), c"\xff".into()],
            env: vec![c"A=b".into(), c"".into()],
            cwd: "/w".into(),
            cwd_chosen: true,
            user: Some(String::new()),
            net: true,
            terminal: Some(TtySize { rows: 3, cols: 4 }),
            writable: vec!["/a b".into(), "/c".into()],
        }
    }

    #[test]
    fn a_request_survives_the_socket() {
        let minimal = Request {
            env: Vec::new(),
            user: None,
            net: false,
            cwd_chosen: false,
            terminal: None,
            writable: Vec::new(),
            ..request()
        };
        for request in [request(), minimal] {
            let sent = request.encode();
            assert_eq!(u32::from_le_bytes(sent[..4].try_into().unwrap()) as usize, sent.len() - 4);
            assert_eq!(Request::decode(&sent[4..]), Some(request));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let good = request().encode()[4..].to_vec();
        for end in 0..good.len() - 5 {
            // Cutting within the environment leaves a shorter one, which is no less a request.
            drop(Request::decode(&good[..end]));
        }
        for bad in [
            &b""[..],
            b"\0",
            b"0 0 0 0 0 0 0 1\0relative\0\0sh\0",
            b"0 0 0 0 0 0 0 0\0/\0\0",
            b"0 0 0 0 0 0 0 9\0/\0\0sh\0",
            b"0 0 0 0 0 0 18446744073709551615 1\0/\0\0sh\0",
            b"0 0 1 99999 0 0 0 1\0/\0\0sh\0",
            b"0 0 0 0 0 0 1 1\0/\0\0../x\0sh\0",
        ] {
            assert_eq!(Request::decode(bad), None, "{bad:?}");
        }
    }
}
