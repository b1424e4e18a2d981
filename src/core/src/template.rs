//! The head of a template, a guest that has booted and was saved for others to go on from: what it says of itself,
//! for whoever has to tell whether it is good for anything.

const MAGIC: &[u8; 8] = b"a3s-tmpl";

/// The first bytes of a template's file. The key comes after it, then the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateHead {
    /// Bytes of the whole file; 0 while it is being written.
    pub length: u64,
    /// Bytes of the key.
    pub key: u64,
}

impl TemplateHead {
    /// Its own length.
    pub const SIZE: usize = 24;
    /// Where [`TemplateHead::length`] is.
    pub const LENGTH_AT: u64 = 8;
    /// Names of files and a command line: no key is longer.
    pub const MAX_KEY: u64 = 64 << 10;

    /// What `bytes` say; none where they begin no template.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let head = Self { length: number(8), key: number(16) };
        (&bytes[..8] == MAGIC && head.key <= Self::MAX_KEY).then_some(head)
    }

    /// As it is written.
    pub fn bytes(self) -> Vec<u8> {
        [&MAGIC[..], &self.length.to_le_bytes(), &self.key.to_le_bytes()].concat()
    }
}

/// The key of a template of `version`, made in `boot` of the host for what `facts` say.
pub fn template_key(version: u32, boot: &str, facts: &str) -> String {
    format!("{version}\n{boot}\n{facts}")
}

/// The boot of the host that the template with this key belongs to.
pub fn boot_of_template(key: &str) -> Option<&str> {
    key.split('\n').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = TemplateHead { length: 1 << 40, key: 17 };
        let bytes: [u8; TemplateHead::SIZE] = head.bytes().try_into().unwrap();
        assert_eq!(TemplateHead::parse(&bytes), Some(head));
        assert_eq!(TemplateHead::parse(&[0; TemplateHead::SIZE]), None);
        let long = TemplateHead { key: TemplateHead::MAX_KEY + 1, ..head };
        assert_eq!(TemplateHead::parse(&long.bytes().try_into().unwrap()), None);
        assert_eq!(boot_of_template(&template_key(1, "boot", "facts\nmore")), Some("boot"));
        assert_eq!(boot_of_template(""), None);
    }
}
