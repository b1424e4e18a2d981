//! A pax extended header: `length key=value` records that override the next header's fields.

use crate::header::size;
use crate::read::{Mtime, Xattr};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

const BAD: &str = "a pax header is malformed";

/// What one extended header says of the next entry.
#[derive(Default)]
pub(crate) struct Pax {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Mtime>,
    pub xattrs: Vec<Xattr>,
    pub sparse: PaxSparse,
}

/// The `GNU.sparse.*` records (versions 0.1 and 1.0).
#[derive(Default)]
pub(crate) struct PaxSparse {
    pub version: [Option<u64>; 2],
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub map: Option<Vec<u8>>,
}

impl Pax {
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
            let length = usize::try_from(decimal(&bytes[..space])?).map_err(|_| BAD)?;
            if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(BAD);
            }
            let record = &bytes[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
            pax.record(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(pax)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            return self.xattr(name.into(), value.into());
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let value = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).map_err(|_| BAD)?;
            return self.xattr(url_decoded(name)?, value.into());
        }
        // An empty value takes back what an earlier record said.
        let some = |value: &[u8]| (!value.is_empty()).then(|| value.to_vec());
        let id = |value: &[u8]| decimal(value).and_then(|id| u32::try_from(id).map_err(|_| BAD)).map(Some);
        let number =
            |value: &[u8]| decimal(value).and_then(|n| i64::try_from(n).map_err(|_| BAD)).and_then(size);
        match key {
            b"path" => self.path = some(value),
            b"linkpath" => self.linkpath = some(value),
            b"size" => self.size = if value.is_empty() { None } else { Some(number(value)?) },
            b"uid" => self.uid = if value.is_empty() { None } else { id(value)? },
            b"gid" => self.gid = if value.is_empty() { None } else { id(value)? },
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value)?) },
            b"GNU.sparse.major" => self.sparse.version[0] = Some(decimal(value)?),
            b"GNU.sparse.minor" => self.sparse.version[1] = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = some(value),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(number(value)?),
            b"GNU.sparse.map" => self.sparse.map = some(value),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                return Err("sparse files of pax format 0.0 are not supported");
            }
            // Access times, user names, comments and vendors' notes mean nothing to a file system.
            _ => {}
        }
        Ok(())
    }

    fn xattr(&mut self, name: Box<[u8]>, value: Box<[u8]>) -> Result<(), &'static str> {
        if name.is_empty() || name.contains(&0) {
            return Err("an extended attribute has no valid name");
        }
        // The same attribute in both spellings, as libarchive writes it, counts once.
        match self.xattrs.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.xattrs.push((name, value)),
        }
        Ok(())
    }
}

pub(crate) fn decimal(text: &[u8]) -> Result<u64, &'static str> {
    let number = std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|number| number.parse().ok()).ok_or(BAD)
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are cut off.
fn time(text: &[u8]) -> Result<Mtime, &'static str> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let secs = decimal(parts.next().unwrap_or_default())?;
    let secs = i64::try_from(secs).map_err(|_| BAD)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let digit = |i: usize| u32::from(fraction.get(i).map_or(0, |byte| byte - b'0'));
    let nanos = (0..9).fold(0, |nanos, i| nanos * 10 + digit(i));
    Ok(match (negative, nanos) {
        (false, _) => Mtime { secs, nanos },
        (true, 0) => Mtime { secs: -secs, nanos: 0 },
        (true, _) => Mtime { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// libarchive writes bytes other than printable ASCII as `%XX`.
fn url_decoded(text: &[u8]) -> Result<Box<[u8]>, &'static str> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16)).ok_or(BAD);
        let value = digit()? << 4 | digit()?;
        decoded.push(u8::try_from(value).map_err(|_| BAD)?);
    }
    Ok(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    #[test]
    fn records_override_and_unknown_ones_do_not_matter() {
        let records = [
            record("path", b"a/b"),
            record("uid", b"100000"),
            record("mtime", b"1700000000.000000001"),
            record("note", b"x\ny"),
            record("SCHILY.xattr.user.k", b"v\0w"),
        ];
        let bytes = &records.concat();
        let pax = Pax::parse(bytes).unwrap();
        assert_eq!(pax.path.unwrap(), b"a/b");
        assert_eq!(pax.uid, Some(100_000));
        assert_eq!(pax.mtime, Some(Mtime { secs: 1_700_000_000, nanos: 1 }));
        assert_eq!(pax.xattrs, [(b"user.k"[..].into(), b"v\0w"[..].into())]);
    }

    #[test]
    fn libarchive_attributes_are_decoded() {
        let pax = Pax::parse(&record("LIBARCHIVE.xattr.user.%c3", b"dg==")).unwrap();
        assert_eq!(pax.xattrs, [(b"user.\xc3"[..].into(), b"v"[..].into())]);
    }

    #[test]
    fn times_may_be_before_the_epoch() {
        assert_eq!(time(b"-1.25"), Ok(Mtime { secs: -2, nanos: 750_000_000 }));
        assert_eq!(time(b"-1"), Ok(Mtime { secs: -1, nanos: 0 }));
        assert_eq!(time(b"5.1234567899"), Ok(Mtime { secs: 5, nanos: 123_456_789 }));
        for bad in [&b""[..], b".5", b"1.x", b"--1", b"99999999999999999999"] {
            assert!(time(bad).is_err());
        }
    }

    #[test]
    fn malformed_records_are_errors() {
        for bad in
            [&b"x"[..], b"5 a=b", b"99 a=b\n", b"2 \n", b"4 ab\n", b"-5 a=b\n", b"6 uid=\n", b"0 a=b\n"]
        {
            assert!(Pax::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
