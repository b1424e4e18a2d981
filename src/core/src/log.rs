//! One record of a box's process log: a JSON object a line.

use serde::{Deserialize, Serialize};

/// Which stream of the container process a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One chunk of output, as the shim writes it to `log.jsonl` and `logs` reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When the host received it, in microseconds since the UNIX epoch.
    pub time: u64,
    /// Where from.
    pub stream: LogStream,
    /// The bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The bytes, where they are not: two hexadecimal digits each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_hex: Option<String>,
}

impl LogRecord {
    /// A record of `bytes`; no byte is lost or changed.
    pub fn new(time: u64, stream: LogStream, bytes: &[u8]) -> Self {
        let (log, log_hex) = match std::str::from_utf8(bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(bytes.iter().map(|b| format!("{b:02x}")).collect())),
        };
        Self { time, stream, log, log_hex }
    }

    /// The bytes that were logged; none where the record is damaged.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.log, &self.log_hex) {
            (Some(text), None) => Some(text.clone().into_bytes()),
            (None, Some(hex)) if hex.is_ascii() && hex.len().is_multiple_of(2) => {
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_record() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b""[..], b"plain\n", "äöü".as_bytes(), &all] {
            let record = LogRecord::new(1, LogStream::Stderr, bytes);
            let line = serde_json::to_string(&record).unwrap();
            assert!(!line.contains('\n'));
            let back: LogRecord = serde_json::from_str(&line).unwrap();
            assert_eq!(back.bytes().unwrap(), bytes);
        }
    }
}
