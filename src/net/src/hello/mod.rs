//! What the first bytes of a connection say about whom they are for, and HTTP's later requests too.
//!
//! A [`Watch`] stands between the guest and the host's socket while a rule about names could matter. It is
//! shown the bytes that are held, and says how many may go, or that somebody must be asked first. It reads as
//! strictly as it can: what a server might read in another way than we do is [`Hello::Unclear`]. Decides
//! nothing. Used by TCP flows.

pub(crate) mod http;
mod tls;

use http::{Body, Head};

/// No hello is longer. Held bytes are the guest's own TCP window, so nothing is lost by waiting.
pub(crate) const MAX_HELLO: usize = 32 << 10;

/// Whom a connection says it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hello {
    /// A TLS client hello, with the server name in it, and whether another one is encrypted in it.
    Tls {
        /// The server name.
        name: Option<String>,
        /// Whether the hello carries an encrypted one.
        encrypted: bool,
    },
    /// An HTTP request, with all hosts that it names.
    Http {
        /// The host header's, and that of the target where it has one.
        names: Vec<String>,
    },
    /// Something else.
    Opaque,
    /// TLS or HTTP that is broken, or that servers read in more than one way.
    Unclear(&'static str),
}

impl Hello {
    /// The name that it says the connection is for.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Tls { name, .. } => name.as_deref(),
            Self::Http { names } => names.last().map(String::as_str),
            Self::Opaque | Self::Unclear(_) => None,
        }
    }
}

/// What to do with the bytes that are held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for more of them.
    More,
    /// Let the first of them go.
    Release(usize),
    /// Ask whether the connection may be; if so, say [`Watch::granted`].
    Ask(Hello),
    /// Let them all go, now and later.
    Open,
}

/// The watch over one connection.
#[derive(Debug)]
pub(crate) struct Watch(State);

#[derive(Debug)]
enum State {
    /// Nothing is known yet.
    First,
    /// A hello was shown and is being decided.
    Asked(Next),
    /// TLS: the hello has gone; another one may follow if the server asks to retry.
    TlsAfter,
    /// HTTP: the next request's head.
    Head,
    /// HTTP: inside a request's body.
    Inside(Body),
    /// HTTP: the server decides whether the connection becomes something else.
    Switching,
    /// Nothing more to watch.
    Open,
}

#[derive(Debug)]
enum Next {
    Tls(usize),
    Http(usize, Head),
    Opaque,
}

impl Watch {
    /// Over a connection that has said nothing yet.
    pub(crate) fn new() -> Self {
        Self(State::First)
    }

    /// Whether the connection has not said yet whom it is for.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.0, State::First | State::Asked(_))
    }

    /// Looks at all the bytes that are held.
    pub(crate) fn look(&mut self, held: &[u8]) -> Step {
        if held.is_empty() && !matches!(self.0, State::Open) {
            return Step::More;
        }
        match &mut self.0 {
            State::First => match classify(held) {
                None if held.len() < MAX_HELLO => Step::More,
                None => self.ask(Hello::Unclear("the hello is too long"), Next::Opaque),
                Some(Kind::Tls) => self.tls(held),
                Some(Kind::Http) => self.http(held),
                Some(Kind::Other) => self.ask(Hello::Opaque, Next::Opaque),
            },
            State::Head => self.http(held),
            State::TlsAfter => match tls::after(held) {
                tls::After::More => Step::More,
                tls::After::Hello => self.tls(held),
                tls::After::Skip(count) => Step::Release(count),
                tls::After::Open => {
                    self.0 = State::Open;
                    Step::Open
                }
            },
            State::Inside(body) => match body.take(held) {
                Ok(http::Taken::More) => Step::More,
                Ok(http::Taken::Some(count)) => Step::Release(count),
                Ok(http::Taken::Last(count)) => {
                    self.0 = State::Head;
                    Step::Release(count)
                }
                Err(what) => self.ask(Hello::Unclear(what), Next::Opaque),
            },
            State::Asked(_) | State::Switching => Step::More,
            State::Open => Step::Open,
        }
    }

    /// The connection may be. Returns how many of the held bytes may go.
    pub(crate) fn granted(&mut self) -> usize {
        let State::Asked(next) = std::mem::replace(&mut self.0, State::Open) else { return 0 };
        match next {
            Next::Opaque => 0,
            Next::Tls(length) => {
                self.0 = State::TlsAfter;
                length
            }
            Next::Http(length, head) => {
                self.0 = match (head.body, head.switches) {
                    (Some(body), _) => State::Inside(body),
                    (None, true) => State::Switching,
                    (None, false) => State::Head,
                };
                length
            }
        }
    }

    /// Hears the server's side, which alone can turn an HTTP connection into something else.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        if matches!(self.0, State::Switching) {
            let switched = bytes.starts_with(b"HTTP/1.1 101 ");
            self.0 = if switched { State::Open } else { State::Head };
        }
    }

    fn tls(&mut self, held: &[u8]) -> Step {
        match tls::read(held) {
            Ok(None) if held.len() < MAX_HELLO => Step::More,
            Ok(Some((hello, length))) if length <= MAX_HELLO => self.ask(hello, Next::Tls(length)),
            Ok(_) => self.ask(Hello::Unclear("the TLS hello is too long"), Next::Opaque),
            Err(what) => self.ask(Hello::Unclear(what), Next::Opaque),
        }
    }

    fn http(&mut self, held: &[u8]) -> Step {
        match http::read(held) {
            Ok(None) if held.len() < MAX_HELLO => Step::More,
            // However it came: in one piece it is no shorter.
            Ok(Some((names, length, head))) if length <= MAX_HELLO => {
                self.ask(Hello::Http { names }, Next::Http(length, head))
            }
            Ok(_) => self.ask(Hello::Unclear("the HTTP head is too long"), Next::Opaque),
            Err(what) => self.ask(Hello::Unclear(what), Next::Opaque),
        }
    }

    fn ask(&mut self, hello: Hello, next: Next) -> Step {
        self.0 = State::Asked(next);
        Step::Ask(hello)
    }
}

enum Kind {
    Tls,
    Http,
    Other,
}

/// What a connection speaks. `None` while it could still be either.
fn classify(held: &[u8]) -> Option<Kind> {
    const LONGEST_METHOD: usize = 32;
    match held {
        [] => return None,
        [0x16, 3, ..] => return Some(Kind::Tls),
        [0x16] => return None,
        _ => {}
    }
    // Servers skip empty lines before a request, so what begins with them may be one.
    let line = held.trim_ascii_start();
    let Some(end) = line.iter().position(|b| *b == b'\n') else {
        let token = line.iter().position(|b| !http::is_token(*b)).unwrap_or(line.len());
        let could_be = match line.get(token) {
            None => token <= LONGEST_METHOD,
            Some(b' ' | b'\t') => (1..=LONGEST_METHOD).contains(&token) && line.is_ascii(),
            Some(_) => false,
        };
        return if could_be { None } else { Some(Kind::Other) };
    };
    let says_http = line[..end].windows(5).any(|w| w.eq_ignore_ascii_case(b"HTTP/"));
    Some(if says_http { Kind::Http } else { Kind::Other })
}

/// A host name as a request or a hello has it, as we compare them. `None` if it is no name.
fn normalise(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let fine = !name.is_empty()
        && name.len() <= 253
        && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(b));
    fine.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}
