//! DNS messages (RFC 1035, RFC 6891): queries and answers read strictly, answers written without compression.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const AAAA: u16 = 28;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;
/// Zone transfers, and requests for everything.
pub(super) const ODD_KINDS: [u16; 5] = [251, 252, 253, 254, 255];
const OPT: u16 = 41;
const INTERNET: u16 = 1;

const HEADER: usize = 12;
const MAX_NAME: usize = 253;
/// More records than that are no answer to a box's question.
const MAX_RECORDS: usize = 512;

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const CHECKING_DISABLED: u16 = 0x0010;

/// The result of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Fine = 0,
    Malformed = 1,
    Failed = 2,
    NoSuchName = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// A query of the guest's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: u16,
    /// Lower case, no dot at the end; empty for the root.
    pub(super) name: String,
    pub(super) kind: u16,
    /// The largest answer that the client takes over UDP.
    pub(super) size: Option<u16>,
    flags: u16,
    /// The question as it came: clients compare its letters' case.
    question: Vec<u8>,
}

/// An answer of a resolver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u8,
    pub(super) truncated: bool,
    /// The aliases that lead from the name to the addresses, in order.
    pub(super) aliases: Vec<(String, u32)>,
    /// What was asked for, where that is addresses.
    pub(super) addresses: Vec<(IpAddr, u32)>,
}

/// Why bytes are no message that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn number16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn number32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A name in lower case. Pointers only lead back, and only where `compressed` names may be.
    fn name(&mut self, compressed: bool) -> Result<String, Malformed> {
        let mut name = String::new();
        let (mut at, mut end) = (self.at, None);
        // Where the next pointer has to lead before, so that there are no circles.
        let mut limit = self.at;
        loop {
            let length = usize::from(*self.bytes.get(at).ok_or(Malformed)?);
            match length {
                0 => break,
                1..=63 => {
                    let label = self.bytes.get(at + 1..at + 1 + length).ok_or(Malformed)?;
                    if !label.iter().all(|b| b.is_ascii_graphic() && *b != b'.') {
                        return Err(Malformed);
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                    if name.len() > MAX_NAME {
                        return Err(Malformed);
                    }
                    at += 1 + length;
                }
                0xc0..=0xff if compressed => {
                    let low = usize::from(*self.bytes.get(at + 1).ok_or(Malformed)?);
                    let target = (length & 0x3f) << 8 | low;
                    if target >= limit {
                        return Err(Malformed);
                    }
                    end = end.or(Some(at + 2));
                    (at, limit) = (target, target);
                }
                _ => return Err(Malformed),
            }
        }
        self.at = end.unwrap_or(at + 1);
        Ok(name)
    }
}

/// Reads a query: one question of the internet's class, and nothing more than EDNS with it.
pub(super) fn read_query(bytes: &[u8]) -> Result<Query, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    let (id, flags) = (reader.number16()?, reader.number16()?);
    let counts = [reader.number16()?, reader.number16()?, reader.number16()?, reader.number16()?];
    if flags & (RESPONSE | OPCODE | TRUNCATED) != 0 || counts[..3] != [1, 0, 0] || counts[3] > 1 {
        return Err(Malformed);
    }
    let name = reader.name(false)?;
    let (kind, class) = (reader.number16()?, reader.number16()?);
    if class != INTERNET {
        return Err(Malformed);
    }
    let question = bytes[HEADER..reader.at].to_vec();
    let mut size = None;
    if counts[3] == 1 {
        let root = reader.take(1)? == [0];
        let record = reader.number16()?;
        size = Some(reader.number16()?);
        reader.number32()?;
        let length = reader.number16()?;
        reader.take(usize::from(length))?;
        if !root || record != OPT {
            return Err(Malformed);
        }
    }
    if reader.at != bytes.len() {
        return Err(Malformed);
    }
    Ok(Query { id, name, kind, size, flags, question })
}

/// Reads the answer to what was asked as `query` under the number `id`.
pub(super) fn read_answer(bytes: &[u8], query: &Query, id: u16) -> Result<Answer, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    let (got, flags) = (reader.number16()?, reader.number16()?);
    let counts = [reader.number16()?, reader.number16()?];
    reader.take(4)?;
    if got != id || flags & RESPONSE == 0 || flags & OPCODE != 0 || counts[0] != 1 {
        return Err(Malformed);
    }
    let name = reader.name(false)?;
    if name != query.name || reader.number16()? != query.kind || reader.number16()? != INTERNET {
        return Err(Malformed);
    }
    let code = u8::try_from(flags & 0x0f).unwrap_or(0);
    let truncated = flags & TRUNCATED != 0;
    let mut answer = Answer { code, truncated, aliases: Vec::new(), addresses: Vec::new() };
    if truncated || !matches!(query.kind, A | AAAA) {
        return Ok(answer);
    }
    let mut owner = name;
    for _ in 0..usize::from(counts[1]).min(MAX_RECORDS) {
        let of = reader.name(true)?;
        let (kind, class, ttl) = (reader.number16()?, reader.number16()?, reader.number32()?);
        let length = usize::from(reader.number16()?);
        let end = reader.at + length;
        match (kind, length) {
            _ if of != owner || class != INTERNET => {}
            (CNAME, _) => {
                owner = reader.name(true)?;
                answer.aliases.push((owner.clone(), ttl));
            }
            (A, 4) if query.kind == A => {
                let b = reader.take(4)?;
                answer.addresses.push((Ipv4Addr::new(b[0], b[1], b[2], b[3]).into(), ttl));
            }
            (AAAA, 16) if query.kind == AAAA => {
                let octets: [u8; 16] = reader.take(16)?.try_into().map_err(|_| Malformed)?;
                answer.addresses.push((Ipv6Addr::from(octets).into(), ttl));
            }
            (A | AAAA, _) if kind == query.kind => return Err(Malformed),
            _ => {}
        }
        if end > bytes.len() || reader.at > end {
            return Err(Malformed);
        }
        reader.at = end;
    }
    Ok(answer)
}

impl Query {
    /// The query as it goes to a resolver, under another number.
    pub(super) fn forward(&self, id: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.question.len() + 11);
        let flags = RECURSION_DESIRED | (self.flags & CHECKING_DISABLED);
        for number in [id, flags, 1, 0, 0, u16::from(self.size.is_some())] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.question);
        if self.size.is_some() {
            bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        }
        bytes
    }

    /// An answer of ours: the result, the aliases on the way, and the addresses.
    pub(super) fn answer(
        &self,
        code: Code,
        aliases: &[(String, u32)],
        addresses: &[(IpAddr, u32)],
    ) -> Vec<u8> {
        let mut body = Vec::new();
        let mut count = 0u16;
        let mut owner = self.name.as_str();
        let mut record = |owner: &str, kind: u16, ttl: u32, data: &[u8]| {
            body.extend_from_slice(&wire_name(owner));
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&INTERNET.to_be_bytes());
            body.extend_from_slice(&ttl.to_be_bytes());
            body.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            body.extend_from_slice(data);
            count = count.saturating_add(1);
        };
        for (alias, ttl) in aliases {
            record(owner, CNAME, *ttl, &wire_name(alias));
            owner = alias;
        }
        for (address, ttl) in addresses {
            match address {
                IpAddr::V4(address) => record(owner, A, *ttl, &address.octets()),
                IpAddr::V6(address) => record(owner, AAAA, *ttl, &address.octets()),
            }
        }
        let mut bytes = self.head(code, count);
        bytes.extend_from_slice(&body);
        bytes
    }

    /// An answer that says that there is more than fits.
    pub(super) fn cut(&self) -> Vec<u8> {
        let mut bytes = self.head(Code::Fine, 0);
        bytes[2] |= 0x02;
        bytes
    }

    fn head(&self, code: Code, answers: u16) -> Vec<u8> {
        let flags = RESPONSE
            | RECURSION_AVAILABLE
            | (self.flags & (RECURSION_DESIRED | CHECKING_DISABLED))
            | u16::from(code.number());
        let mut bytes = Vec::with_capacity(HEADER + self.question.len());
        for number in [self.id, flags, 1, answers, 0, 0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.question);
        bytes
    }
}

impl Code {
    fn number(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Malformed => 1,
            Self::Failed => 2,
            Self::NoSuchName => 3,
            Self::NotImplemented => 4,
            Self::Refused => 5,
        }
    }

    /// The code of a resolver's, where it is one that means something to a client.
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => Self::Fine,
            3 => Self::NoSuchName,
            5 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// The answer to what is no query, where it is enough of a message to be answered.
pub(super) fn malformed(bytes: &[u8]) -> Option<Vec<u8>> {
    let [a, b, c, d] = *bytes.first_chunk::<4>()?;
    let flags = u16::from_be_bytes([c, d]);
    if flags & RESPONSE != 0 {
        return None;
    }
    let flags = RESPONSE | (flags & OPCODE) | u16::from(Code::Malformed.number());
    let mut answer = vec![a, b];
    answer.extend_from_slice(&flags.to_be_bytes());
    answer.resize(HEADER, 0);
    Some(answer)
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
