//! Makes tar archives, byte by byte, for tests.

/// An archive in the making.
#[derive(Default, Clone)]
pub struct Archive(Vec<u8>);

/// One pax record.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// A header block with a right checksum. `fields` are written over it at their offsets.
pub fn header(path: &str, kind: u8, size: u64, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    for (offset, bytes) in fields {
        put(*offset, bytes);
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

impl Archive {
    pub fn entry(mut self, path: &str, kind: u8, content: &[u8], fields: &[(usize, &[u8])]) -> Self {
        self.0.extend(header(path, kind, content.len() as u64, fields));
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path, b'0', content, &[])
    }

    pub fn dir(self, path: &str) -> Self {
        self.entry(path, b'5', b"", &[])
    }

    /// A symbolic (`2`) or hard (`1`) link.
    pub fn link(self, path: &str, kind: u8, target: &str) -> Self {
        self.entry(path, kind, b"", &[(157, target.as_bytes())])
    }

    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let records: Vec<_> = records.iter().map(|(key, value)| record(key, value)).collect();
        self.entry("pax", b'x', &records.concat(), &[])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
