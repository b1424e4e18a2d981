//! The hosts that an HTTP/1 request names (RFC 9112), and where its body ends.

use super::normalise;

type Broken = &'static str;
const BROKEN: Broken = "the HTTP head is malformed";
const MAX_HEADERS: usize = 256;
const MAX_CHUNK_LINE: usize = 4096;

/// What a head says about what follows it.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its body, where it has one.
    pub(crate) body: Option<Body>,
    /// Whether it asks that the connection become something else.
    pub(crate) switches: bool,
    /// What is known of its method.
    pub(crate) method: Method,
}

/// The methods that matter to what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Connect,
    Head,
    Other,
}

/// The rest of a body.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    /// Chunks, at the beginning of a size line.
    Chunks,
    /// Inside a chunk, with so many bytes to come.
    Chunk(u64),
    /// At the line end after a chunk.
    ChunkEnd,
    /// After the last chunk.
    Trailer,
}

/// How much of the held bytes belongs to the body.
#[derive(Debug)]
pub(crate) enum Taken {
    More,
    Some(usize),
    Last(usize),
}

/// Whether a byte may be in a method or a header's name.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads the head that `bytes` begin with: its hosts, its length, and what follows.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Vec<String>, usize, Head)>, Broken> {
    let mut at = 0;
    let Some(request) = line(bytes, &mut at)? else { return Ok(None) };
    let mut words = request.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BROKEN);
    };
    if version == b"HTTP/2.0" {
        return Err("HTTP/2 without TLS hides the host");
    }
    let odd = |b: &u8| !b.is_ascii_graphic();
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0")
        || method.is_empty()
        || !method.iter().all(|b| is_token(*b))
        || target.is_empty()
        || target.iter().any(odd)
    {
        return Err(BROKEN);
    }
    let mut names = Vec::new();
    if let Some(name) = target_host(method, target)? {
        names.push(name);
    }
    let (mut host, mut length, mut chunked, mut upgrade) = (None, None, false, false);
    for _ in 0..MAX_HEADERS {
        let Some(header) = line(bytes, &mut at)? else { return Ok(None) };
        if header.is_empty() {
            names.push(host.ok_or("the HTTP request names no host")?);
            if chunked && length.is_some() {
                return Err("the HTTP request says its length twice");
            }
            let body = match length {
                _ if chunked => Some(Body::Chunks),
                Some(length) if length > 0 => Some(Body::Length(length)),
                _ => None,
            };
            let method = match method {
                b"CONNECT" => Method::Connect,
                b"HEAD" => Method::Head,
                _ => Method::Other,
            };
            let switches = upgrade || method == Method::Connect;
            return Ok(Some((names, at, Head { body, switches, method })));
        }
        let colon = header.iter().position(|b| *b == b':').ok_or(BROKEN)?;
        let (name, value) = (&header[..colon], header[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) || value.iter().any(|b| b.is_ascii_control())
        {
            return Err(BROKEN);
        }
        if name.eq_ignore_ascii_case(b"host") {
            if host.is_some() {
                return Err("the HTTP request names two hosts");
            }
            host = Some(authority(value)?);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|t| t.parse().ok());
            if number.is_none() || length.is_some() {
                return Err("the HTTP request's length is unclear");
            }
            length = number;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("the HTTP request's transfer encoding is unclear");
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        }
    }
    Err("the HTTP request has too many headers")
}

/// The host in a request's target, where it has one.
fn target_host(method: &[u8], target: &[u8]) -> Result<Option<String>, Broken> {
    if method == b"CONNECT" {
        return authority(target).map(Some);
    }
    if target.starts_with(b"/") || target == b"*" {
        return Ok(None);
    }
    let scheme = target.windows(3).position(|w| w == b"://").ok_or(BROKEN)?;
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    authority(&rest[..end]).map(Some)
}

/// The name in `name[:port]`. User names before an `@` are how one host is made to look like another.
fn authority(text: &[u8]) -> Result<String, Broken> {
    const NONE: Broken = "the HTTP host is none";
    let bytes = match text.iter().rposition(|b| *b == b':') {
        Some(colon) if text[colon + 1..].iter().all(u8::is_ascii_digit) => &text[..colon],
        _ => text,
    };
    let name = normalise(bytes).ok_or(NONE)?;
    // What is left of an IPv6 address is in brackets, and a name has neither.
    if name.contains(':') && !(name.starts_with('[') && name.ends_with(']')) { Err(NONE) } else { Ok(name) }
}

/// The next line, without its end, which must be CR LF.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, Broken> {
    let rest = &bytes[*at..];
    let Some(end) = rest.iter().position(|b| *b == b'\n') else { return Ok(None) };
    *at += end + 1;
    let line = rest[..end].strip_suffix(b"\r").ok_or(BROKEN)?;
    if line.contains(&b'\r') || line.contains(&0) { Err(BROKEN) } else { Ok(Some(line)) }
}

impl Body {
    /// Takes what belongs to the body off the bytes that are held.
    pub(crate) fn take(&mut self, held: &[u8]) -> Result<Taken, Broken> {
        match self {
            Self::Length(left) => {
                let count = within(*left, held.len());
                *left -= wide(count);
                Ok(if *left == 0 { Taken::Last(count) } else { Taken::Some(count) })
            }
            Self::Chunk(left) => {
                let count = within(*left, held.len());
                *left -= wide(count);
                if *left == 0 {
                    *self = Self::ChunkEnd;
                }
                Ok(Taken::Some(count))
            }
            Self::ChunkEnd => match held {
                [b'\r', b'\n', ..] => {
                    *self = Self::Chunks;
                    Ok(Taken::Some(2))
                }
                [b'\r'] | [] => Ok(Taken::More),
                _ => Err("the HTTP request's chunks are unclear"),
            },
            Self::Chunks => {
                let mut at = 0;
                let Some(line) = line(held, &mut at)? else {
                    return if held.len() > MAX_CHUNK_LINE { Err(BROKEN) } else { Ok(Taken::More) };
                };
                let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
                if !(1..=15).contains(&digits) || !matches!(line.get(digits), None | Some(b';')) {
                    return Err("the HTTP request's chunks are unclear");
                }
                let text = std::str::from_utf8(&line[..digits]).map_err(|_| BROKEN)?;
                let size = u64::from_str_radix(text, 16).map_err(|_| BROKEN)?;
                *self = if size == 0 { Self::Trailer } else { Self::Chunk(size) };
                Ok(Taken::Some(at))
            }
            Self::Trailer => {
                let mut at = 0;
                match line(held, &mut at)? {
                    None if held.len() > MAX_CHUNK_LINE => Err(BROKEN),
                    None => Ok(Taken::More),
                    Some([]) => Ok(Taken::Last(at)),
                    Some(_) => Ok(Taken::Some(at)),
                }
            }
        }
    }
}

fn within(left: u64, held: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(held)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
