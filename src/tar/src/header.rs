//! One 512-byte tar header block.

use crate::read::Mtime;

/// Headers and content are padded to this many bytes.
pub(crate) const BLOCK: usize = 512;

/// A header whose checksum is right.
pub(crate) struct Header {
    block: [u8; BLOCK],
}

impl Header {
    pub(crate) fn parse(block: [u8; BLOCK]) -> Result<Self, &'static str> {
        let stated = number(&block[148..156])?;
        let sum = |signed: bool| -> i64 {
            let byte = |b: u8| if signed { i64::from(i8::from_ne_bytes([b])) } else { i64::from(b) };
            let with_field: i64 = block.iter().map(|b| byte(*b)).sum();
            let field: i64 = block[148..156].iter().map(|b| byte(*b)).sum();
            with_field - field + 8 * i64::from(b' ')
        };
        // Old writers summed signed bytes.
        if stated != sum(false) && stated != sum(true) {
            return Err("a header's checksum is wrong");
        }
        Ok(Self { block })
    }

    pub(crate) fn kind(&self) -> u8 {
        self.block[156]
    }

    /// The name, with the prefix that only POSIX's ustar has.
    pub(crate) fn path(&self) -> Result<Vec<u8>, &'static str> {
        let name = text(&self.block[..100]);
        let prefix = text(&self.block[345..500]);
        if &self.block[257..263] != b"ustar\0" || prefix.is_empty() {
            return Ok(name.to_vec());
        }
        Ok([prefix, b"/", name].concat())
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    /// Permission bits; the file type that some writers add is the type flag's business.
    pub(crate) fn mode(&self) -> Result<u16, &'static str> {
        let mode = number(&self.block[100..108])? & 0o7777;
        u16::try_from(mode).map_err(|_| "its mode is no mode")
    }

    pub(crate) fn uid(&self) -> Result<u32, &'static str> {
        id(number(&self.block[108..116])?)
    }

    pub(crate) fn gid(&self) -> Result<u32, &'static str> {
        id(number(&self.block[116..124])?)
    }

    pub(crate) fn size(&self) -> Result<u64, &'static str> {
        size(number(&self.block[124..136])?)
    }

    pub(crate) fn mtime(&self) -> Result<Mtime, &'static str> {
        Ok(Mtime { secs: number(&self.block[136..148])?, nanos: 0 })
    }

    pub(crate) fn major(&self) -> Result<u32, &'static str> {
        id(number(&self.block[329..337])?)
    }

    pub(crate) fn minor(&self) -> Result<u32, &'static str> {
        id(number(&self.block[337..345])?)
    }

    /// GNU's sparse fields: four (offset, length) pairs, whether more follow, and the real size.
    pub(crate) fn gnu_sparse(&self) -> (&[u8], bool, Result<u64, &'static str>) {
        let real_size = number(&self.block[483..495]).and_then(size);
        (&self.block[386..482], self.block[482] != 0, real_size)
    }
}

fn id(value: i64) -> Result<u32, &'static str> {
    u32::try_from(value).map_err(|_| "an owner or device number is out of range")
}

/// Sizes stay below 2^62 so that sums of a few of them cannot overflow.
pub(crate) fn size(value: i64) -> Result<u64, &'static str> {
    u64::try_from(value).ok().filter(|size| *size < 1 << 62).ok_or("a size is out of range")
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An octal number padded with spaces or NULs, or GNU's base-256 where the first bit is set.
pub(crate) fn number(field: &[u8]) -> Result<i64, &'static str> {
    const BAD: &str = "a header holds a number that is none";
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            // The rest is two's complement, big endian, with bit 6 of the first byte as its sign.
            let sign = if first & 0x40 != 0 { -1 } else { 0 };
            let top = (sign << 7) | i128::from(first & 0x7f);
            let value = field[1..]
                .iter()
                .try_fold(top, |value, byte| value.checked_mul(256).map(|value| value | i128::from(*byte)));
            value.and_then(|value| i64::try_from(value).ok()).ok_or(BAD)
        }
        _ => {
            let blank = |byte: &u8| *byte == b' ' || *byte == 0;
            let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
            let digits = &field[start..];
            let end = digits.iter().position(blank).unwrap_or(digits.len());
            // At most 12 digits fit a field, so that nothing can overflow.
            digits[..end].iter().try_fold(0_i64, |value, byte| match byte {
                b'0'..=b'7' => Ok(value << 3 | i64::from(byte - b'0')),
                _ => Err(BAD),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"  644 \0\0"), Ok(0o644));
        assert_eq!(number(b"777777777777"), Ok(0o777777777777));
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\x02\0\0\0"), Ok(0x0200_0000));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Ok(-1));
        assert!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(number(b"8\0\0\0").is_err());
        assert!(number(b"-1\0\0").is_err());
    }
}
