//! The responses of one connection, as they come from the server, with placeholders in place of values.

use super::request::{Asked, Requests};
use super::swap::{Swap, take_out};
use crate::hello::http::{Body, Taken};
use std::collections::VecDeque;

/// No head is longer.
const MAX_HEAD: usize = 64 << 10;
const BROKEN: &str = "the server's answer is no HTTP";

#[derive(Debug)]
enum State {
    /// At the beginning of a response.
    Head,
    /// In its body.
    Inside(Body),
    /// In a body that ends with the connection, or in what the connection has become.
    Open,
}

/// What a response's head says.
struct Head {
    status: u16,
    /// How long the head is.
    length: usize,
    chunked: bool,
    encoded: bool,
    body: Option<u64>,
}

/// The responses of one connection.
#[derive(Debug)]
pub(super) struct Responses {
    state: State,
    /// What has come and was not passed on.
    pub(super) buffer: Vec<u8>,
}

impl Responses {
    pub(super) fn new() -> Self {
        Self { state: State::Head, buffer: Vec::new() }
    }

    /// Whether more of them may come now.
    pub(super) fn has_room(&self) -> bool {
        self.buffer.len() <= MAX_HEAD
    }

    /// Passes on to `out` what is complete enough of what has come.
    ///
    /// # Errors
    /// What is no response.
    pub(super) fn pass(
        &mut self,
        swaps: &[&Swap],
        asked: &mut VecDeque<Asked>,
        requests: &mut Requests,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        while !self.buffer.is_empty() {
            let count = match &mut self.state {
                State::Head => {
                    let Some(head) = read(&self.buffer)? else {
                        return if self.has_room() { Ok(()) } else { Err("the response's head is too long") };
                    };
                    out.extend(take_out(&self.buffer[..head.length], swaps));
                    self.buffer.drain(..head.length);
                    self.state = follow(&head, asked, requests);
                    continue;
                }
                State::Inside(body) => match body.take(&self.buffer).map_err(|_| BROKEN)? {
                    Taken::More => return Ok(()),
                    Taken::Some(count) => count,
                    Taken::Last(count) => {
                        self.state = State::Head;
                        count
                    }
                },
                State::Open => self.buffer.len(),
            };
            out.extend_from_slice(&self.buffer[..count]);
            self.buffer.drain(..count);
        }
        Ok(())
    }
}

/// What follows a head (RFC 9112, 6.3).
fn follow(head: &Head, asked: &mut VecDeque<Asked>, requests: &mut Requests) -> State {
    // Further ones follow for the same request.
    if matches!(head.status, 100 | 102..=199) {
        return State::Head;
    }
    let Asked { bodiless, switches } = asked.pop_front().unwrap_or_default();
    if switches {
        requests.switched(head.status == 101);
        if head.status == 101 {
            return State::Open;
        }
    }
    if bodiless || matches!(head.status, 101 | 204 | 304) {
        return State::Head;
    }
    match head.body {
        _ if head.chunked => State::Inside(Body::Chunks),
        _ if head.encoded => State::Open,
        Some(0) => State::Head,
        Some(length) => State::Inside(Body::Length(length)),
        None => State::Open,
    }
}

/// Reads the head that `bytes` begin with.
fn read(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut head = Head { status: 0, length: 0, chunked: false, encoded: false, body: None };
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let first = head.length == 0;
        head.length += line.len();
        if first {
            head.status = status(text).ok_or(BROKEN)?;
            continue;
        }
        if text.is_empty() {
            return Ok(Some(head));
        }
        let colon = text.iter().position(|b| *b == b':').ok_or(BROKEN)?;
        let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            head.encoded = true;
            let last = value.rsplit(|b| *b == b',').next().unwrap_or(value).trim_ascii();
            head.chunked = last.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|t| t.parse().ok());
            if length.is_none() || head.body.is_some_and(|other| Some(other) != length) {
                return Err("the response's length is unclear");
            }
            head.body = length;
        }
    }
    // A first line that is none is not waited for.
    if head.length == 0 && !bytes.starts_with(&b"HTTP/1."[..bytes.len().min(7)]) {
        return Err(BROKEN);
    }
    Ok(None)
}

/// The number in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or(line.strip_prefix(b"HTTP/1.0 "))?;
    let (number, after) = rest.split_at_checked(3)?;
    let digits = number.iter().all(u8::is_ascii_digit) && matches!(after.first(), None | Some(b' '));
    std::str::from_utf8(number).ok().filter(|_| digits).and_then(|text| text.parse().ok())
}
