//! The keys that leave a process alone, as Docker has them.

use std::str::FromStr;

/// Keys to be typed one after the other: `ctrl-p,ctrl-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were typed just now.
    typed: usize,
}

/// What Docker has where nothing else is asked for.
pub(crate) const DEFAULT: &str = "ctrl-p,ctrl-q";

impl FromStr for DetachKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |key: &str| -> Option<u8> {
            match (key.strip_prefix("ctrl-").unwrap_or(key).as_bytes(), key.starts_with("ctrl-")) {
                ([byte @ (b'a'..=b'z' | b'@'..=b'_')], true) => Some(byte.to_ascii_uppercase() & 0x1f),
                ([byte], false) if byte.is_ascii() => Some(*byte),
                _ => None,
            }
        };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        let keys = keys.ok_or("write keys as a letter or ctrl- and a letter, with commas between them")?;
        Ok(Self { keys, typed: 0 })
    }
}

impl DetachKeys {
    /// What of `bytes` is for the process, and whether the keys are complete. Keys that may become so are kept back.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(bytes.len() + self.typed);
        for byte in bytes {
            if *byte != self.keys[self.typed] {
                passed.extend_from_slice(&self.keys[..self.typed]);
                self.typed = 0;
            }
            if *byte != self.keys[self.typed] {
                passed.push(*byte);
                continue;
            }
            self.typed += 1;
            if self.typed == self.keys.len() {
                return (passed, true);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_back_until_it_is_clear_what_they_mean() {
        let mut keys: DetachKeys = DEFAULT.parse().unwrap();
        assert_eq!(keys.pass(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(keys.pass(b"\x10"), (b"".to_vec(), false));
        assert_eq!(keys.pass(b"\x10x"), (b"\x10\x10x".to_vec(), false));
        assert_eq!(keys.pass(b"y\x10\x11z"), (b"y".to_vec(), true));
        let mut single: DetachKeys = "a".parse().unwrap();
        assert_eq!(single.pass(b"xa"), (b"x".to_vec(), true));
        let text: DetachKeys = "x,ctrl-@,ctrl-],q".parse().unwrap();
        assert_eq!(text.keys, b"x\0\x1dq");
        for bad in ["", "ctrl-", "ctrl-1", "ab", "a,,b", "shift-x", "\u{e4}"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }
}
