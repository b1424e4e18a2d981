//! Content digests: the newtype, hashing, and a reader that refuses content other than what was promised.
//!
//! Only `sha256` is accepted: it is the one algorithm that every OCI registry and tool writes.

use crate::{ImageError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// A SHA-256 content digest, written `sha256:` and 64 lower-case hexadecimal digits (OCI image spec,
/// descriptor).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 digits without the algorithm.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 digits, as tables show them.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || ImageError::InvalidDigest { text: text.to_owned() };
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return Err(invalid());
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let high = nibble(pair[0]).ok_or_else(invalid)?;
            let low = nibble(pair[1]).ok_or_else(invalid)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// The value of a lower-case hexadecimal digit.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much is fetched ahead of the hash. Each of its steps needs the one before, so that it would wait for memory
/// again and again; these loads need nothing, and go on while it works.
const AHEAD: usize = 1024;
const CACHE_LINE: usize = 64;

/// Hashes content as it comes.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut following = bytes.chunks(AHEAD).skip(1);
        for block in bytes.chunks(AHEAD) {
            if let Some(next) = following.next() {
                std::hint::black_box(next.iter().step_by(CACHE_LINE).fold(0, |all, byte| all ^ byte));
            }
            self.0.update(block);
        }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A reader that hands out at most `size` bytes and reports its end only if their digest is the expected one.
///
/// Content that is longer, shorter or different is an [`io::ErrorKind::InvalidData`] error; a caller that
/// reads to the end without error has verified content.
pub(crate) struct VerifyingReader<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    left: u64,
}

impl<R: Read> VerifyingReader<R> {
    /// Expects `size` bytes of digest `expected` from `inner`.
    pub(crate) fn new(inner: R, expected: Digest, size: u64) -> Self {
        Self { inner, hasher: Some(Hasher::default()), expected, left: size }
    }

    fn check_end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let mut extra = [0; 1];
        if self.inner.read(&mut extra)? != 0 {
            return Err(invalid("it is longer than declared".into()));
        }
        let actual = hasher.finish();
        if actual != self.expected {
            return Err(invalid(format!("its digest is {actual}")));
        }
        Ok(())
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if self.left == 0 {
            self.check_end()?;
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(invalid(format!("{} bytes are missing", self.left)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_sha256_digests_parse() {
        let text = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        for bad in [
            "",
            "sha256:",
            &"0a".repeat(32),
            &text.to_uppercase(),
            &text[..70],
            &format!("{text}0"),
            &text.replace("sha256", "sha512"),
            &format!("sha256:{}", "é".repeat(32)),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_verifying_reader_ends_well_only_on_the_promised_content() {
        let read = |content: &[u8], size: u64| {
            let mut all = Vec::new();
            VerifyingReader::new(content, Digest::of(b"content"), size).read_to_end(&mut all).map(|_| all)
        };
        assert_eq!(read(b"content", 7).unwrap(), b"content");
        assert_eq!(read(b"cantent", 7).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"conten", 7).unwrap_err().to_string(), "1 bytes are missing");
        assert_eq!(read(b"content!", 7).unwrap_err().to_string(), "it is longer than declared");
        assert_eq!(read(b"", 0).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
