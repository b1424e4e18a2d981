//! Placeholders become values in the heads of requests, and values become placeholders in those of responses.
//!
//! Bodies are left as they are. Whoever calls this has read the head strictly before.

use a3s_box_core::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A head does not grow beyond this by what is put into it.
const MAX_HEAD: usize = 128 << 10;
const TOO_LONG: &str = "the request's head is too long with its secrets";

/// A secret with its value.
pub(crate) struct Swap {
    /// What it is called.
    pub(crate) name: String,
    placeholder: Vec<u8>,
    value: Vec<u8>,
    /// As it is in a request's target.
    encoded: Vec<u8>,
}

impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Swap({})", self.name)
    }
}

impl Swap {
    pub(crate) fn new(secret: &Secret, value: &str) -> Self {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
        let encoded =
            value.bytes().flat_map(|b| if plain(&b) { vec![b] } else { format!("%{b:02X}").into_bytes() });
        Self {
            name: secret.name.clone(),
            placeholder: secret.placeholder.clone().into_bytes(),
            value: value.as_bytes().to_vec(),
            encoded: encoded.collect(),
        }
    }
}

/// A request's head with the values of `swaps` in it; what was put in is told to `used`.
pub(super) fn fill_in(
    head: &[u8],
    swaps: &[&Swap],
    used: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, &'static str> {
    let mut filled = Vec::with_capacity(head.len() + 256);
    for (at, line) in lines(head).enumerate() {
        let (text, end) = split_end(line);
        if at == 0 {
            filled.extend(exchange(text.to_vec(), swaps, Swap::target, used)?);
        } else {
            let colon = text.iter().position(|b| *b == b':').map_or(0, |colon| colon + 1);
            let (name, value) = text.split_at(colon);
            filled.extend_from_slice(name);
            filled.extend(match basic(name, value) {
                Some((scheme, inner)) => {
                    let inner = exchange(inner, swaps, Swap::header, used)?;
                    [scheme, STANDARD.encode(inner).as_bytes()].concat()
                }
                None => exchange(value.to_vec(), swaps, Swap::header, used)?,
            });
        }
        filled.extend_from_slice(end);
        if filled.len() > MAX_HEAD {
            return Err(TOO_LONG);
        }
    }
    Ok(filled)
}

/// A response's head without the values of `swaps`.
pub(super) fn take_out(head: &[u8], swaps: &[&Swap]) -> Vec<u8> {
    let mut taken = head.to_vec();
    for swap in swaps {
        for shape in [&swap.value, &swap.encoded] {
            let mut from = 0;
            while let Some(at) = find(&taken, shape, from) {
                taken.splice(at..at + shape.len(), swap.placeholder.iter().copied());
                from = at + swap.placeholder.len();
            }
        }
    }
    taken
}

impl Swap {
    fn target(&self) -> &[u8] {
        &self.encoded
    }

    fn header(&self) -> &[u8] {
        &self.value
    }
}

/// `text` with what `shape` makes of each secret in place of its placeholder.
fn exchange(
    mut text: Vec<u8>,
    swaps: &[&Swap],
    shape: fn(&Swap) -> &[u8],
    used: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, &'static str> {
    for swap in swaps {
        let mut from = 0;
        while let Some(at) = find(&text, &swap.placeholder, from) {
            let value = shape(swap);
            text.splice(at..at + swap.placeholder.len(), value.iter().copied());
            // What is in a value is no placeholder.
            from = at + value.len();
            used(&swap.name);
            if text.len() > MAX_HEAD {
                return Err(TOO_LONG);
            }
        }
    }
    Ok(text)
}

/// The words before the credentials of `Basic` authentication, and the credentials.
fn basic<'a>(name: &[u8], value: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let name = name.strip_suffix(b":")?;
    if !name.eq_ignore_ascii_case(b"authorization") && !name.eq_ignore_ascii_case(b"proxy-authorization") {
        return None;
    }
    let start = value.iter().position(|b| !b.is_ascii_whitespace())?;
    let scheme = value.get(start..start + 6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let (scheme, credentials) = value.split_at(start + 6);
    Some((scheme, STANDARD.decode(credentials.trim_ascii()).ok()?))
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|b| *b == b'\n')
}

fn split_end(line: &[u8]) -> (&[u8], &[u8]) {
    let length = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line).len();
    line.split_at(length)
}

fn find(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.windows(what.len().max(1)).position(|window| window == what).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(value: &str) -> Swap {
        let mut secret: Secret = "T=env:T@h".parse().unwrap();
        secret.placeholder = "a3s-secret-0123".into();
        Swap::new(&secret, value)
    }

    fn filled(head: &str, value: &str) -> (String, usize) {
        let (swap, mut count) = (swap(value), 0);
        let filled = fill_in(head.as_bytes(), &[&swap], &mut |_| count += 1).unwrap();
        (String::from_utf8(filled).unwrap(), count)
    }

    #[test]
    fn placeholders_become_values_wherever_a_head_may_have_them() {
        let head = "GET /a?k=a3s-secret-0123&l=a3s-secret-0123 HTTP/1.1\r\nHost: h\r\nX-Key:a3s-secret-0123\r\n\
            Authorization: Bearer a3s-secret-0123\r\n\r\n";
        let (text, count) = filled(head, "p&ss wörd");
        assert_eq!(count, 4);
        assert_eq!(
            text,
            "GET /a?k=p%26ss%20w%C3%B6rd&l=p%26ss%20w%C3%B6rd HTTP/1.1\r\nHost: h\r\nX-Key:p&ss wörd\r\n\
            Authorization: Bearer p&ss wörd\r\n\r\n"
        );
        let basic =
            |text: &str| format!("GET / HTTP/1.1\r\nauthorization: basic {}\r\n\r\n", STANDARD.encode(text));
        assert_eq!(filled(&basic("user:a3s-secret-0123"), "password"), (basic("user:password"), 1));
        let odd = "GET / HTTP/1.1\r\nAuthorization: Basic %%%\r\n\r\n";
        assert_eq!(filled(odd, "password"), (odd.into(), 0));
        // What looks like a placeholder and is none stays.
        let other = "GET /a3s-secret-0124 HTTP/1.1\r\n\r\n";
        assert_eq!(filled(other, "password"), (other.into(), 0));
        // A value that holds its own placeholder ends.
        assert_eq!(filled("GET /a3s-secret-0123 HTTP/1.1\r\n\r\n", "xa3s-secret-0123").1, 1);
    }

    #[test]
    fn a_head_does_not_grow_for_ever() {
        let swap = swap(&"v".repeat(8000));
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", "a3s-secret-0123".repeat(1000));
        assert_eq!(fill_in(head.as_bytes(), &[&swap], &mut |_| {}), Err(TOO_LONG));
    }

    #[test]
    fn values_that_come_back_become_placeholders() {
        let head = b"HTTP/1.1 302 p&ssword\r\nLocation: /?k=p%26ssword\r\nX: p&sswordp&ssword\r\n\r\n";
        let text = String::from_utf8(take_out(head, &[&swap("p&ssword")])).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 302 a3s-secret-0123\r\nLocation: /?k=a3s-secret-0123\r\nX: a3s-secret-0123a3s-secret-0123\r\n\r\n"
        );
    }
}
