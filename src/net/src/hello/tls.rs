//! The server name in a TLS client hello (RFC 8446, RFC 6066).

use super::{Hello, normalise};

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
const CLIENT_HELLO: u8 = 1;
const MAX_RECORD: usize = 16_384;
const RECORD_HEADER: usize = 5;
const SERVER_NAME: u16 = 0;
const ENCRYPTED_HELLO: u16 = 0xfe0d;
const ENCRYPTED_NAME: u16 = 0xffce;

type Broken = &'static str;
const BROKEN: Broken = "the TLS hello is malformed";

/// What follows a client hello.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Too little to say.
    More,
    /// Another hello: the server wanted one more.
    Hello,
    /// So many bytes that do not matter.
    Skip(usize),
    /// The rest of the handshake: no name comes any more.
    Open,
}

/// Reads the client hello that `bytes` begin with: what it says, and how long its records are.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Hello, usize)>, Broken> {
    let mut message = Vec::new();
    let mut at = 0;
    loop {
        let Some(header) = bytes.get(at..at + RECORD_HEADER) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != HANDSHAKE || header[1] != 3 || length == 0 || length > MAX_RECORD {
            return Err(BROKEN);
        }
        at += RECORD_HEADER;
        let Some(part) = bytes.get(at..at + length) else { return Ok(None) };
        message.extend_from_slice(part);
        at += length;
        let Some(head) = message.first_chunk::<4>() else { continue };
        let [kind, size @ ..] = *head;
        if kind != CLIENT_HELLO {
            return Err("the TLS handshake does not begin with a client hello");
        }
        let size = usize::try_from(u32::from_be_bytes([0, size[0], size[1], size[2]])).map_err(|_| BROKEN)?;
        if size > super::MAX_HELLO {
            return Err("the TLS hello is too long");
        }
        if message.len() > 4 + size {
            // A second message in the same record could be a second hello.
            return Err(BROKEN);
        }
        if message.len() == 4 + size {
            return client_hello(&message[4..]).map(|hello| Some((hello, at)));
        }
    }
}

/// Looks at what follows a client hello.
pub(super) fn after(bytes: &[u8]) -> After {
    let Some(header) = bytes.first_chunk::<RECORD_HEADER>() else { return After::More };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    match header[0] {
        CHANGE_CIPHER_SPEC if bytes.len() >= RECORD_HEADER + length => After::Skip(RECORD_HEADER + length),
        CHANGE_CIPHER_SPEC => After::More,
        HANDSHAKE => match bytes.get(RECORD_HEADER) {
            None => After::More,
            Some(&CLIENT_HELLO) => After::Hello,
            Some(_) => After::Open,
        },
        _ => After::Open,
    }
}

/// A slice that is read from its start.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(head)
    }

    fn number8(&mut self) -> Result<usize, Broken> {
        Ok(usize::from(self.take(1)?[0]))
    }

    fn number16(&mut self) -> Result<u16, Broken> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector16(&mut self) -> Result<Reader<'a>, Broken> {
        let length = self.number16()?;
        self.take(usize::from(length)).map(Reader)
    }
}

fn client_hello(body: &[u8]) -> Result<Hello, Broken> {
    let mut body = Reader(body);
    // Version and random.
    body.take(2 + 32)?;
    let session = body.number8()?;
    body.take(session)?;
    body.vector16()?;
    let compressions = body.number8()?;
    body.take(compressions)?;
    let (mut name, mut encrypted) = (None, false);
    if body.0.is_empty() {
        return Ok(Hello::Tls { name, encrypted });
    }
    let mut extensions = body.vector16()?;
    if !body.0.is_empty() {
        return Err(BROKEN);
    }
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let mut data = extensions.vector16()?;
        match kind {
            SERVER_NAME => {
                let mut list = data.vector16()?;
                let kind = list.number8()?;
                let host = list.vector16()?;
                // One name of one kind; whatever else there is, servers do not agree on.
                if kind != 0 || !list.0.is_empty() || !data.0.is_empty() || name.is_some() {
                    return Err("the TLS hello names more than one server");
                }
                name = Some(normalise(host.0).ok_or("the TLS server name is none")?);
            }
            ENCRYPTED_HELLO | ENCRYPTED_NAME => encrypted = true,
            _ => {}
        }
    }
    Ok(Hello::Tls { name, encrypted })
}
