//! The requests of one connection, as they come from the box, with values in place of placeholders.

use super::swap::{Swap, fill_in};
use crate::hello::MAX_HELLO;
use crate::hello::http::{self, Body, Method, Taken};
use std::collections::VecDeque;

/// Requests that may wait for their responses.
const MAX_ASKED: usize = 64;

/// What has to be known of a request to read its response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its response has no body, whatever it says.
    pub(super) bodiless: bool,
    /// It asks that the connection become something else.
    pub(super) switches: bool,
}

#[derive(Debug)]
enum State {
    /// At the beginning of a request.
    Head,
    /// In its body.
    Inside(Body),
    /// The server decides whether the connection becomes something else.
    Switching,
    /// It has.
    Open,
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    state: State,
    host: String,
    /// What has come and was not passed on.
    pub(super) buffer: Vec<u8>,
}

impl Requests {
    /// Those of a connection to `host`.
    pub(super) fn new(host: String) -> Self {
        Self { state: State::Head, host, buffer: Vec::new() }
    }

    /// Whether more of them may come now.
    pub(super) fn has_room(&self, asked: &VecDeque<Asked>) -> bool {
        self.buffer.len() <= MAX_HELLO && asked.len() < MAX_ASKED && !matches!(self.state, State::Switching)
    }

    /// Passes on to `out` what is complete enough of what has come.
    ///
    /// # Errors
    /// What is no request, or one that is for somebody else.
    pub(super) fn pass(
        &mut self,
        swaps: &[&Swap],
        used: &mut dyn FnMut(&str),
        asked: &mut VecDeque<Asked>,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        while !self.buffer.is_empty() {
            let count = match &mut self.state {
                State::Head => {
                    // An empty line before a request is to be overlooked (RFC 9112, 2.2).
                    if self.buffer.starts_with(b"\r\n") {
                        self.buffer.drain(..2);
                        continue;
                    }
                    let Some((names, length, head)) = http::read(&self.buffer)? else {
                        let whole = self.buffer.len() <= MAX_HELLO;
                        return if whole { Ok(()) } else { Err("the HTTP head is too long") };
                    };
                    if length > MAX_HELLO {
                        return Err("the HTTP head is too long");
                    }
                    if names.iter().any(|name| *name != self.host) {
                        return Err("the request is for another host than the connection");
                    }
                    if head.method == Method::Connect {
                        return Err("a host that is sent secrets leads no further (CONNECT)");
                    }
                    out.extend(fill_in(&self.buffer[..length], swaps, used)?);
                    asked.push_back(Asked { bodiless: head.method == Method::Head, switches: head.switches });
                    self.state = match (head.body, head.switches) {
                        (Some(_), true) => return Err("a request that becomes something else has no body"),
                        (Some(body), false) => State::Inside(body),
                        (None, true) => State::Switching,
                        (None, false) => State::Head,
                    };
                    self.buffer.drain(..length);
                    if asked.len() >= MAX_ASKED {
                        return Ok(());
                    }
                    continue;
                }
                State::Inside(body) => match body.take(&self.buffer)? {
                    Taken::More => return Ok(()),
                    Taken::Some(count) => count,
                    Taken::Last(count) => {
                        self.state = State::Head;
                        count
                    }
                },
                State::Switching => return Ok(()),
                State::Open => self.buffer.len(),
            };
            out.extend_from_slice(&self.buffer[..count]);
            self.buffer.drain(..count);
        }
        Ok(())
    }

    /// The server has decided whether the connection becomes something else.
    pub(super) fn switched(&mut self, so: bool) {
        if matches!(self.state, State::Switching) {
            self.state = if so { State::Open } else { State::Head };
        }
    }
}
